"""A bundle that averages other bundles predicts the mean of their logits."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from brats_mm.cli.main import main
from brats_mm.errors import BundleError, OptionError, OutputError
from brats_mm.io.bundle import compute_sha256, open_bundle
from brats_mm.packaging.ensemble import create_ensemble
from brats_mm.pipeline.network import load_network


@pytest.fixture
def members(tiny_bundle: Path, tmp_path: Path) -> list[Path]:
    """Two bundles of one network. The logits of the second are twice those of the first."""
    folders = [tmp_path / name for name in ("first", "second")]
    for factor, folder in enumerate(folders, start=1):
        shutil.copytree(tiny_bundle, folder)
        state = torch.load(folder / "models" / "model.pt", weights_only=True)
        scaled = {name: factor * value if name.startswith("experts") else value for name, value in state.items()}
        torch.save(scaled, folder / "models" / "model.pt")
        digest = compute_sha256(folder / "models" / "model.pt")
        (folder / "models" / "SHA256SUMS").write_text(f"{digest}  model.pt\n")
    return folders


def test_ensemble_is_trusted_network_and_averages_logits(members: list[Path], tmp_path: Path) -> None:
    created = create_ensemble([open_bundle(path) for path in members], tmp_path / "both", version="2")
    network, identity = load_network(open_bundle(created.folder))
    first, _ = load_network(open_bundle(members[0]))
    image, available = torch.randn(1, 4, 64, 64, 64), torch.tensor([[True, False, True, True]])
    with torch.no_grad():
        torch.testing.assert_close(network(image, available), 1.5 * first(image, available), atol=1e-2, rtol=1e-2)
    assert identity.version == "2"
    assert identity.parameters == 2 * sum(value.numel() for value in first.parameters()) + 3
    metadata = json.loads((created.folder / "configs" / "metadata.json").read_text())
    assert [one["weights_sha256"] for one in metadata["members"]] == [
        compute_sha256(path / "models" / "model.pt") for path in members
    ]


def test_ensemble_needs_two_bundles_of_one_voxel_size(members: list[Path], tmp_path: Path) -> None:
    config = members[1] / "configs" / "inference.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "spacing_mm": 2.0}))
    with pytest.raises(BundleError, match=r"different voxel sizes \(1 mm and 2 mm\)"):
        create_ensemble([open_bundle(path) for path in members], tmp_path / "both", version="1")
    with pytest.raises(OptionError, match="at least two bundles, but got 1"):
        create_ensemble([open_bundle(members[0])], tmp_path / "both", version="1")


def test_command_creates_ensemble_and_does_not_overwrite(
    members: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["bundle", "ensemble", *map(str, members), "-o", str(tmp_path / "both"), "--trust-bundle"]
    assert main([*arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["folder"] == str(tmp_path / "both")
    with pytest.raises(OutputError, match="already holds a bundle"):
        create_ensemble([open_bundle(path) for path in members], tmp_path / "both", version="1")
