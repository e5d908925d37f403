"""Workflows, forms, citation and nox sessions match their schemas, agree with each other, and name existing files."""

import importlib.util
import os
import re
import shutil
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
FORMS = sorted((GITHUB / "ISSUE_TEMPLATE").glob("[!c]*.yml"))
SCHEMAS = {
    "github-workflows": WORKFLOWS,
    "github-issue-forms": FORMS,
    "github-issue-config": [GITHUB / "ISSUE_TEMPLATE" / "config.yml"],
    "dependabot": [GITHUB / "dependabot.yml"],
    "citation-file-format": [ROOT / "CITATION.cff"],
}
PROGRAMS = {"docker", "nox", "pip", "pip-audit", "sudo"}
"""Programs of a runner, or installed by an earlier step."""

NOXFILE = (ROOT / ".ci" / "noxfile.py").read_text(encoding="utf-8")


def jobs(path):
    return yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"]


def steps(path):
    return [step for job in jobs(path).values() for step in job["steps"]]


def quoted(name):
    """Return the strings of a tuple in the noxfile."""
    (result,) = re.findall(rf"^{name} = \((.*)\)$", NOXFILE, re.MULTILINE)
    return re.findall(r'"([\d.]+)"', result)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflow_is_read_only_and_has_timeout(path):
    workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert workflow["permissions"] == {"contents": "read"}
    for name, job in workflow["jobs"].items():
        assert job["runs-on"] == "ubuntu-latest"
        assert "timeout-minutes" in job, name


@pytest.mark.parametrize("schema", SCHEMAS)
def test_files_match_their_schemas(schema):
    checker = pytest.importorskip("check_jsonschema")
    from click.testing import CliRunner

    arguments = ["--builtin-schema", f"vendor.{schema}", *map(str, SCHEMAS[schema])]
    checked = CliRunner().invoke(checker.main, arguments)
    assert checked.exit_code == 0, checked.output


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflow_commands_exist(path):
    for step in steps(path):
        for command in filter(str.strip, re.split(r"&&|\n", step.get("run", ""))):
            word = command.split()[0]
            assert word in PROGRAMS or os.access(ROOT / word, os.X_OK), command


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflow_uses_its_matrix_and_watches_existing_files(path):
    for name, job in jobs(path).items():
        matrix = job.get("strategy", {}).get("matrix", {})
        assert set(re.findall(r"matrix\.(\w+)", str(job))) <= matrix.keys(), name
    triggers = yaml.safe_load(path.read_text(encoding="utf-8"))[True]  # YAML reads the key `on` as true
    for pattern in (triggers["pull_request"] or {}).get("paths", []):
        assert any(ROOT.glob(pattern)), pattern


def test_site_is_uploaded_from_build_folder():
    site = yaml.safe_load((ROOT / "docs" / "site" / "mkdocs.yml").read_text(encoding="utf-8"))["site_dir"]
    (upload,) = [step for step in steps(GITHUB / "workflows" / "docs.yml") if "upload-pages" in step.get("uses", "")]
    assert (ROOT / upload["with"]["path"]).resolve() == (ROOT / "docs" / "site" / site).resolve()


def test_links_of_forms_point_to_main_branch():
    """A form is shown at OWNER/NAME/issues/new."""
    links = [link for form in FORMS for link in re.findall(r"\]\(([^)]+)\)", form.read_text(encoding="utf-8"))]
    assert links
    for link in links:
        assert link.startswith("../blob/main/"), link
        assert (ROOT / link.removeprefix("../blob/main/")).is_file(), link


def test_one_command_writes_repository_address_everywhere(tmp_path):
    spec = importlib.util.spec_from_file_location("set_repository", ROOT / ".ci" / "set_repository.py")
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    for name, *_ in tool.PLACES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    for url in ("https://github.com/first/name", "https://github.com/second/name"):
        tool.set_repository(tmp_path, url)
    texts = {name: (tmp_path / name).read_text(encoding="utf-8") for name, *_ in tool.PLACES}
    assert {name for name, text in texts.items() if "https://github.com/second/name" not in text} == set()
    assert {name for name, text in texts.items() if re.search(r"first/name|example\.org", text)} == set()


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflow_runs_existing_files_and_sessions(path):
    for step in steps(path):
        arguments = step.get("run", "").split()
        for word in arguments:
            if re.match(r"(\.ci|docker)/", word):
                assert (ROOT / word).is_file(), word
        if arguments[:1] == ["nox"]:
            session = re.sub(r"-\$\{\{.*", "", arguments[arguments.index("-s") + 1].strip('"'))
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


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
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
