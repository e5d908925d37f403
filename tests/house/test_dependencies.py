"""No allowed dependency has a known advisory in the list next to this file."""

import json
import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

try:
    import tomllib
except ImportError:  # Python 3.10
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]
ADVISORIES = {
    name: (Version(row[0]), row[1])
    for name, row in json.loads((Path(__file__).parent / "advisories.json").read_text(encoding="utf-8")).items()
    if name != "about"
}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LOCK = (ROOT / "docker" / "requirements.lock").read_text(encoding="utf-8")


def _declared():
    """Return extra, name and lowest version of each dependency of the project."""
    groups = {"": PROJECT["dependencies"], **PROJECT["optional-dependencies"]}
    for extra, lines in groups.items():
        for requirement in map(Requirement, lines):
            lowest = [Version(one.version) for one in requirement.specifier if one.operator in (">=", "==", "~=")]
            yield extra, canonicalize_name(requirement.name), max(lowest, default=Version("0"))


DECLARED = list(_declared())
PINNED = dict(re.findall(r"^([a-z0-9.-]+)==(\S+)", LOCK, re.MULTILINE))


@pytest.mark.parametrize("name", ADVISORIES)
def test_lowest_allowed_version_has_no_known_advisory(name):
    fixed, advisory = ADVISORIES[name]
    rows = [(extra, lowest) for extra, declared, lowest in DECLARED if declared == name]
    assert rows, f"{name} is not declared, so that any version is admitted"
    for extra, lowest in rows:
        assert lowest >= fixed, f"{name} of extra {extra!r} admits {lowest}: {advisory}"


def _audit(lock):
    """Return name and version of each pinned package with an advisory in the local file. Needs no network."""
    pinned = dict(re.findall(r"^([a-z0-9.-]+)==([^\s;\\]+)", lock, re.MULTILINE))
    known = {name: version for name, version in pinned.items() if name in ADVISORIES}
    return {name: version for name, version in known.items() if Version(version) < ADVISORIES[name][0]}


def test_lock_file_has_no_version_with_known_advisory():
    assert len(PINNED.keys() & ADVISORIES.keys()) > 8
    assert _audit(LOCK) == {}


def test_audit_finds_version_with_advisory():
    version = PINNED["starlette"]
    planted = LOCK.replace(f"starlette=={version}", "starlette==0.49.0")
    assert _audit(planted) == {"starlette": "0.49.0"}


def test_lock_file_has_hashes_and_meets_requirements():
    blocks = re.split(r"^(?=[a-z0-9.-]+==)", LOCK, flags=re.MULTILINE)[1:]
    assert len(blocks) == len(PINNED) > 60
    assert [block.split("==")[0] for block in blocks if "--hash=sha256:" not in block] == []
    for extra, name, lowest in DECLARED:
        if extra in ("", "service", "dicom", "openvino", "parquet") and name not in ("torch", "brats-mm"):
            assert Version(PINNED[name]) >= lowest, name


def test_image_installs_lock_file_by_hashes():
    dockerfile = (ROOT / "docker" / "Dockerfile").read_text(encoding="utf-8")
    assert "pip install --require-hashes --no-deps -r docker/requirements.lock" in dockerfile
