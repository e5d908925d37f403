"""Every cell of every notebook runs in a new process, without data, network or stored outputs."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).resolve().parents[2] / "docs" / "notebooks").glob("*.ipynb"))
QUICK = {"EPOCHS": "1", "HEADS": "3"}
"""Settings that the training notebook reads: enough to run each cell."""


def code_cells(notebook):
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


def test_expected_notebooks_exist():
    assert {path.stem for path in NOTEBOOKS} == {"quick_start", "missing_sequences", "train"}


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_has_no_outputs_and_parses(notebook):
    for cell in code_cells(notebook):
        assert cell["outputs"] == [], "clear the outputs"
        assert cell["execution_count"] is None, "clear the outputs"
        ast.parse("".join(cell["source"]))


@pytest.mark.slow
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_cell_runs(notebook, tmp_path):
    script = "\n\n".join("".join(cell["source"]) for cell in code_cells(notebook))
    (tmp_path / "cells.py").write_text(script, encoding="utf-8")
    offline = {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}
    environment = {**os.environ, **QUICK, **offline, "MPLBACKEND": "Agg"}
    done = subprocess.run(
        [sys.executable, "cells.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
