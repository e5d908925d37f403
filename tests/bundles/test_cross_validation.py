"""One command trains and evaluates every fold, pools the scores, and creates an ensemble."""

import json
from pathlib import Path

import pytest

from brats_mm.cli.main import main
from brats_mm.io.bundle import open_bundle
from brats_mm.networks import presets
from brats_mm.networks.ensemble import Ensemble
from brats_mm.pipeline.network import load_network

pytestmark = pytest.mark.slow

QUICK = ["epochs=1", "val_interval=1", "window=[64,32,32]", "validation_window=[64,32,32]", "spacing_mm=4.0"]
QUICK += ["augmentation=paper", "device=cpu"]


def test_two_folds_are_pooled_and_second_call_changes_nothing(
    cases: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(presets.WIDTHS, "light", (2, 2, 4))
    listed = tmp_path / "folds.json"
    entries = [{"name": name, "fold": fold, **_files(cases / name)} for name, fold in _FOLDS.items()]
    listed.write_text(json.dumps({"training": entries}))
    out = tmp_path / "out"
    arguments = ["cross-validate", str(cases), "-o", str(out), "--datalist", str(listed), "--device", "cpu", "--json"]
    assert main([*arguments, "--set", *QUICK]) == 0
    summary = json.loads(capsys.readouterr().out)

    assert summary["cases"] == 3
    assert summary["pooled_from"] == ["fold0/evaluation", "fold1/evaluation"]
    scored = {row.split(",")[0] for row in (out / "fold1" / "evaluation" / "cases.csv").read_text().splitlines()[1:]}
    assert scored == {"three"}
    assert "pooled, 3 cases" in (out / "tables" / "dice.tex").read_text()
    network, identity = load_network(open_bundle(out / "ensemble"))
    assert isinstance(network, Ensemble)
    assert identity.spacing_mm == 4.0

    written = (out / "fold0" / "bundle" / "models" / "model.pt").stat().st_mtime_ns
    assert main([*arguments, "--set", *QUICK]) == 0
    assert json.loads(capsys.readouterr().out) == summary
    assert (out / "fold0" / "bundle" / "models" / "model.pt").stat().st_mtime_ns == written
    assert main([*arguments, "--set", *QUICK, "epochs=2"]) == 2
    assert "epochs was 1 and is now 2" in capsys.readouterr().err


_FOLDS = {"one": 0, "two": 0, "three": 1}


def _files(folder: Path) -> dict[str, object]:
    """Return the files of a case relative to the data set, as Auto3DSeg's lists have them."""
    names = {path.name.split("-")[1].split(".")[0]: f"{folder.name}/{path.name}" for path in folder.iterdir()}
    label = names.pop("seg")
    return {"image": names, "label": label}
