"""A frozen config outside of its bundle runs with the metadata of the bundle."""

import json
from pathlib import Path
from typing import Any

import monai.bundle
import pytest

from brats_mm.experiments.comparison.training import train_here
from brats_mm.io.bundle import default_bundle


def test_frozen_config_runs_with_metadata_of_its_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []

    class Workflow:
        """Records its metadata file, and the steps of a run."""

        def __init__(self, config: str, *, meta_file: str, **_: Any) -> None:
            calls.append(Path(meta_file))

        def initialize(self) -> None:
            calls.append("initialize")

        def run(self) -> None:
            calls.append("run")

        def finalize(self) -> None:
            calls.append("finalize")

    monkeypatch.setattr(monai.bundle, "ConfigWorkflow", Workflow)
    (tmp_path / "config.json").write_text(json.dumps({"bundle_root": str(default_bundle())}))
    train_here(tmp_path / "config.json")
    assert calls == [default_bundle() / "configs" / "metadata.json", "initialize", "run", "finalize"]
    assert calls[0].is_file()
