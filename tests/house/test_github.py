"""Workflows, forms and nox sessions parse, agree with each other, and name existing files."""

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
NOXFILE = (ROOT / ".ci" / "noxfile.py").read_text(encoding="utf-8")


def steps(path):
    jobs = yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"]
    return [step for job in jobs.values() for step in job["steps"]]


def quoted(name):
    """The strings of a tuple in the noxfile."""
    (result,) = re.findall(rf"^{name} = \((.*)\)$", NOXFILE, re.MULTILINE)
    return re.findall(r'"([\d.]+)"', result)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflow_is_read_only_and_has_timeout(path):
    workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert workflow["permissions"] == {"contents": "read"}
    for name, job in workflow["jobs"].items():
        assert job["runs-on"] == "ubuntu-latest"
        assert "timeout-minutes" in job or name == "publish"


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflow_runs_existing_files_and_sessions(path):
    for step in steps(path):
        words = step.get("run", "").split()
        for word in words:
            if re.match(r"(\.ci|docker)/", word):
                assert (ROOT / word).is_file(), word
        if words[:1] == ["nox"]:
            session = re.sub(r"-\$\{\{.*", "", words[words.index("-s") + 1].strip('"'))
            assert f"\ndef {session}(session: nox.Session" in NOXFILE


def test_every_supported_python_and_pytorch_is_tested():
    matrix = yaml.safe_load((GITHUB / "workflows" / "tests.yml").read_text(encoding="utf-8"))
    matrix = matrix["jobs"]["quick"]["strategy"]["matrix"]
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    supported = re.findall(r"Programming Language :: Python :: (3\.\d+)", project)
    assert matrix["python"] == quoted("PYTHONS") == supported
    torches = {*matrix["torch"], *(one["torch"] for one in matrix["include"])}
    assert torches == set(quoted("TORCHES"))
    (oldest,) = re.findall(r'"torch>=([\d.]+)"', project)
    assert oldest in torches


@pytest.mark.parametrize("path", sorted((GITHUB / "ISSUE_TEMPLATE").glob("[!c]*.yml")), ids=lambda path: path.stem)
def test_form_fields_have_unique_names(path):
    form = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert form["name"]
    assert form["description"]
    ids = [field["id"] for field in form["body"] if field["type"] != "markdown"]
    assert len(ids) == len(set(ids)) > 0
    assert any(field.get("validations", {}).get("required") for field in form["body"])


def test_dependabot_watches_existing_folders():
    updates = yaml.safe_load((GITHUB / "dependabot.yml").read_text(encoding="utf-8"))["updates"]
    watched = {update["package-ecosystem"]: ROOT / update["directory"].lstrip("/") for update in updates}
    assert (watched["pip"] / "pyproject.toml").is_file()
    assert (watched["npm"] / "package-lock.json").is_file()
    assert (watched["docker"] / "Dockerfile").is_file()
    assert watched["github-actions"] == ROOT


def test_pre_commit_hooks_use_versions_of_test_extra():
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    local = next(repo for repo in config["repos"] if repo["repo"] == "local")
    assert {hook["id"] for hook in local["hooks"]} >= {"ruff-check", "ruff-format", "lint-imports", "claims"}
    assert all(hook["language"] == "system" for hook in local["hooks"])
