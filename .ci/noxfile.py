"""Sessions for every supported Python and PyTorch, for checks and for the documentation.

    pip install nox
    nox -f .ci/noxfile.py --list
    nox -f .ci/noxfile.py -s "tests-3.12(torch='2.13')"

Arguments after `--` go to pytest: `-- -m '' -n 2 --dist loadfile` runs every test.
"""

from pathlib import Path

import nox

ROOT = Path(__file__).resolve().parents[1]
PYTHONS = ("3.10", "3.11", "3.12", "3.13")
TORCHES = ("2.10", "2.11", "2.13")

nox.options.default_venv_backend = "uv|virtualenv"
nox.options.sessions = ["lint", "docs"]


@nox.session(python=PYTHONS)
@nox.parametrize("torch", TORCHES)
def tests(session: nox.Session, torch: str) -> None:
    """Run the tests with one Python and one PyTorch."""
    session.chdir(ROOT)
    session.install(f"torch~={torch}.0", "-e", ".[test]")
    session.run("python", "-m", "pytest", *session.posargs)


@nox.session(python="3.11")
def federated(session: nox.Session) -> None:
    """Run the test of NVFlare's simulator, which other sessions skip."""
    session.chdir(ROOT)
    session.install("-c", "constraints.txt", "-e", ".[test]", "monai-nvflare>=0.4")
    session.run("python", "-m", "pytest", "-m", "", "tests/unit/learning/test_federated_job.py", *session.posargs)


@nox.session(python="3.11")
def lint(session: nox.Session) -> None:
    """Run ruff, mypy and the import contracts."""
    session.chdir(ROOT)
    session.install("-c", "constraints.txt", "-e", ".[test]")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")
    session.run("lint-imports")


@nox.session(python="3.12")
def docs(session: nox.Session) -> None:
    """Build the documentation site and fail on every warning."""
    session.chdir(ROOT)
    session.install("mkdocs-material>=9.5", "mkdocstrings[python]>=0.27", "pyyaml")  # the extra docs, without torch
    session.run("python", "docs/tools/write_claims.py", "--check")
    session.run("mkdocs", "build", "--strict", "-f", "docs/site/mkdocs.yml")
