"""`bundle create`: a checkpoint becomes a bundle that loads, is calibrated on labelled cases, and describes itself."""

import json
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from brats_mm.cli.main import main
from brats_mm.domain.modality import Modality
from brats_mm.domain.regions import REGIONS, Region
from brats_mm.errors import BundleError, OptionError, OutputError
from brats_mm.inference.predictor import Predictor
from brats_mm.io.bundle import default_bundle, open_bundle
from brats_mm.io.case import read_case
from brats_mm.io.labelled_cases import LabelledCase, list_labelled_cases
from brats_mm.networks.presets import simmlm
from brats_mm.packaging.create import create_bundle
from brats_mm.pipeline.network import load_network
from brats_mm.trust.calibration import calibrate_confidence, calibrate_subsets


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    torch.save(simmlm().state_dict(), tmp_path / "model.pt")
    return tmp_path / "model.pt"


@pytest.fixture
def cases(tmp_path: Path) -> tuple[LabelledCase, ...]:
    """Two heads of side 40 with FLAIR only. The tumour fills a tenth of each."""
    for seed, name in enumerate(("one", "two")):
        folder = tmp_path / "cases" / name
        folder.mkdir(parents=True)
        rng = np.random.default_rng(seed)
        voxels = np.zeros((40, 40, 40), np.float32)
        voxels[4:36, 4:36, 4:36] = rng.uniform(50, 150, (32, 32, 32))
        labels = np.zeros(voxels.shape, np.uint8)
        labels[10:20, 10:20, 10:20] = 3
        for kind, array in (("flair", voxels), ("seg", labels)):
            nib.save(nib.Nifti1Image(array, np.diag([2.0, 2.0, 2.0, 1.0])), folder / f"{name}-{kind}.nii.gz")
    return list_labelled_cases(tmp_path / "cases")


def test_bundle_predicts_as_checkpoint_within_half_precision(checkpoint: Path, tmp_path: Path) -> None:
    result = create_bundle([checkpoint], tmp_path / "mine", open_bundle(None), version="1.2.3")

    network, identity = load_network(open_bundle(tmp_path / "mine"))
    assert (identity.version, identity.weights_sha256) == ("1.2.3", result.weights_sha256)
    saved = torch.load(checkpoint, weights_only=True)
    for name, value in network.state_dict().items():
        assert torch.equal(value, saved[name].half().float())
    stored = torch.load(tmp_path / "mine" / "models" / "model.pt", weights_only=True)
    assert {value.dtype for value in stored.values()} == {torch.float16}


def test_uses_averaged_weights_of_training_state(checkpoint: Path, tmp_path: Path) -> None:
    state = torch.load(checkpoint, weights_only=True)
    values = {name: value + 1 for name, value in state.items()}
    torch.save({"network": state, "average": {"steps": 3, "values": values}, "epoch": 1}, tmp_path / "model_last.pt")

    create_bundle([tmp_path / "model_last.pt"], tmp_path / "mine", open_bundle(None), version="1")

    stored = torch.load(tmp_path / "mine" / "models" / "model.pt", weights_only=True)
    assert all(torch.equal(stored[name], values[name].half()) for name in stored)


def test_calibration_shifts_logits_as_reported_and_never_lowers_dice(
    checkpoint: Path, cases: tuple[LabelledCase, ...], tmp_path: Path
) -> None:
    result = create_bundle([checkpoint], tmp_path / "mine", open_bundle(None), version="1", calibrate_on=cases)

    assert result.calibration is not None
    assert min(result.calibration.gains.values()) >= 0
    assert result.calibration.left_out_gains.keys() == set(REGIONS)
    metadata = json.loads((tmp_path / "mine" / "configs" / "metadata.json").read_text())
    assert metadata["calibration"]["cases"] == 2
    before = torch.load(checkpoint, weights_only=True)["experts.flair.heads.4.bias"]
    after = torch.load(tmp_path / "mine" / "models" / "model.pt", weights_only=True)["experts.flair.heads.4.bias"]
    offsets = torch.tensor([result.calibration.offsets[region] for region in REGIONS])
    assert torch.allclose(before - after.float(), offsets, atol=1e-2)
    assert result.calibration.offsets[Region.WT] != 0


def test_single_case_has_no_left_out_score(checkpoint: Path, cases: tuple[LabelledCase, ...], tmp_path: Path) -> None:
    result = create_bundle([checkpoint], tmp_path / "mine", open_bundle(None), version="1", calibrate_on=cases[:1])

    assert result.calibration is not None
    assert result.calibration.left_out_gains == {}


def test_does_not_overwrite_existing_bundle(checkpoint: Path, tmp_path: Path) -> None:
    create_bundle([checkpoint], tmp_path / "mine", open_bundle(None), version="1")

    with pytest.raises(OutputError, match="already holds a bundle"):
        create_bundle([checkpoint], tmp_path / "mine", open_bundle(None), version="2")


def test_error_for_checkpoint_of_other_network_names_remedy(tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(3)}, tmp_path / "other.pt")

    with pytest.raises(BundleError, match=r"other\.pt does not fit the template's network .* model\.pt"):
        create_bundle([tmp_path / "other.pt"], tmp_path / "mine", open_bundle(None), version="1")
    assert not (tmp_path / "mine").exists()


def test_command_creates_bundle_that_doctor_accepts(checkpoint: Path, tmp_path: Path) -> None:
    assert (
        main(
            ["bundle", "create", str(checkpoint), "-o", str(tmp_path / "mine"), "--bundle", str(default_bundle()), "-q"]
        )
        == 0
    )
    assert main(["doctor", "--bundle", str(tmp_path / "mine")]) == 0


def test_bundle_takes_network_and_description_from_training_configs(tmp_path: Path) -> None:
    from brats_mm.experiments.presets import momke

    torch.manual_seed(0)
    torch.save(momke().state_dict(), tmp_path / "model.pt")
    config = default_bundle() / "configs" / "methods" / "momke.json"

    arguments = ["bundle", "create", str(tmp_path / "model.pt"), "-o", str(tmp_path / "mine"), "--config", str(config)]
    assert main([*arguments, "--quiet"]) == 0

    network, identity = load_network(open_bundle(tmp_path / "mine"))
    assert type(network) is type(momke())
    assert identity.name == "MoMKE"
    assert identity.spacing_mm == 2.0
    assert (tmp_path / "mine" / "configs" / "methods" / "momke.json").is_file()


def test_rejects_config_that_cannot_be_merged(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "wrong.json").write_text("[")
    with pytest.raises(OptionError, match="Cannot merge"):
        create_bundle(
            [checkpoint], tmp_path / "mine", open_bundle(None), version="1", configs=[tmp_path / "wrong.json"]
        )


def test_calibration_per_subset_is_saved_and_applied(
    checkpoint: Path, cases: tuple[LabelledCase, ...], tmp_path: Path
) -> None:
    """The only subset of the case gets an offset and a temperature.

    The weights are unchanged, and predictions change by both.
    """
    plain = create_bundle([checkpoint], tmp_path / "plain", open_bundle(None), version="1")
    result = create_bundle(
        [checkpoint], tmp_path / "fitted", open_bundle(None), version="1", calibrate_on=cases, fit=calibrate_subsets
    )

    assert result.subsets is not None
    assert result.weights_sha256 == plain.weights_sha256
    network, identity = load_network(open_bundle(tmp_path / "fitted"))
    flair = frozenset({Modality.FLAIR})
    assert identity.calibration is not None
    assert list(identity.calibration.corrections) == [flair]
    case = read_case(cases[0].files)
    bare = replace(identity, calibration=None)
    cpu = torch.device("cpu")
    fitted, raw = (Predictor(network, one, cpu).predict(case) for one in (identity, bare))
    inside = case.volumes[Modality.FLAIR].data > 0
    for region in REGIONS:
        correction = identity.calibration.find_correction(flair, region)
        before, after = (np.log(one.probabilities[region] / (1 - one.probabilities[region])) for one in (raw, fitted))
        expected = (before - correction.offset) / correction.temperature
        np.testing.assert_allclose(after[inside], expected[inside], atol=2e-3)
        assert after[0, 0, 0] == pytest.approx(before[0, 0, 0]), "background stays background"


def test_foreground_temperatures_change_probabilities_but_no_outline(
    checkpoint: Path, cases: tuple[LabelledCase, ...], tmp_path: Path
) -> None:
    result = create_bundle(
        [checkpoint], tmp_path / "fitted", open_bundle(None), version="1", calibrate_on=cases, fit=calibrate_confidence
    )

    assert result.subsets is not None
    card = (tmp_path / "fitted" / "docs" / "README.md").read_text(encoding="utf-8")
    assert f"for each subset (models/calibration.json), fitted on {len(cases)} labelled cases" in card
    network, identity = load_network(open_bundle(tmp_path / "fitted"))
    flair = frozenset({Modality.FLAIR})
    assert identity.calibration is not None
    case = read_case(cases[0].files)
    cpu = torch.device("cpu")
    fitted, raw = (
        Predictor(network, one, cpu).predict(case) for one in (identity, replace(identity, calibration=None))
    )
    np.testing.assert_array_equal(fitted.labels(), raw.labels())
    for region in REGIONS:
        correction = identity.calibration.find_correction(flair, region)
        assert correction.offset == 0
        assert correction.temperature == 1
        assert correction.foreground_temperature != 1
        before, after = raw.probabilities[region], fitted.probabilities[region]
        np.testing.assert_array_equal(after[before < 0.4], before[before < 0.4])


def test_several_checkpoints_are_averaged(checkpoint: Path, tmp_path: Path) -> None:
    state = torch.load(checkpoint, weights_only=True)
    torch.save({name: value + 1 for name, value in state.items()}, tmp_path / "other.pt")

    arguments = ["bundle", "create", str(checkpoint), str(tmp_path / "other.pt"), "-o", str(tmp_path / "mine")]
    assert main(arguments) == 0

    packed = torch.load(tmp_path / "mine" / "models" / "model.pt", weights_only=True)
    for name, value in state.items():
        if value.is_floating_point():
            torch.testing.assert_close(packed[name], (value.float() + 0.5).half())


@pytest.mark.parametrize("way", ["--per-subset", "--calibrate-confidence"])
def test_rejects_calibration_without_cases(
    way: str, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bundle", "create", str(checkpoint), "-o", str(tmp_path / "mine"), way]) != 0
    assert "--calibrate" in capsys.readouterr().err
    assert not (tmp_path / "mine").exists()


@pytest.mark.parametrize(
    ("option", "message"), [("--per-subset", "per subset: mean Dice"), ("--calibrate-confidence", "outline unchanged")]
)
def test_command_calibrates_each_subset(
    option: str,
    message: str,
    checkpoint: Path,
    cases: tuple[LabelledCase, ...],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = [
        "bundle",
        "create",
        str(checkpoint),
        "-o",
        str(tmp_path / "mine"),
        "--calibrate",
        str(tmp_path / "cases"),
        option,
    ]
    assert main(arguments) == 0
    assert message in capsys.readouterr().out
    assert (tmp_path / "mine" / "models" / "calibration.json").is_file()
