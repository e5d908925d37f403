"""The image and the compose file match docs/containers.md: no root, loopback only, read-only, no unknown files."""

import fnmatch
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = ROOT / "docker" / "Dockerfile"
COMPOSE = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())
SCRIPTS = sorted((ROOT / "docker").glob("*.sh"))


def linter(name: str) -> str:
    """Find a program of the extra `test`, next to this Python or on the path."""
    result = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    if result is None:
        pytest.skip(f"{name} is not installed for this platform")
    return result


def lint(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def stages() -> dict[str, list[str]]:
    """Return the instructions of each stage by its name, continued lines joined."""
    text = re.sub(r"\\\n\s*", " ", DOCKERFILE.read_text())
    result: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in text.splitlines():
        if named := re.match(r"FROM .* AS (\w+)$", line):
            lines = result[named[1]] = []
        elif line and not line.startswith("#"):
            lines.append(line)
    return result


def test_hadolint_reports_nothing():
    lint(linter("hadolint"), str(DOCKERFILE))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_shellcheck_reports_nothing(script):
    lint(linter("shellcheck"), str(script))


def test_image_runs_unprivileged_with_health_check():
    last = stages()["run"]
    assert "USER 10001:10001" in last
    assert any(line.startswith("HEALTHCHECK ") and "/healthz" in line for line in last)
    after = last[last.index("USER 10001:10001") :]
    assert not any(line.startswith(("RUN", "COPY", "ADD")) for line in after)


def test_copied_paths_exist_and_are_not_ignored():
    ignore = (ROOT / "docker" / "Dockerfile.dockerignore").read_text().split()
    assert ignore[0] == "*"
    allowed = [line[1:] for line in ignore if line.startswith("!")]
    for lines in stages().values():
        for line in lines:
            if line.startswith("COPY ") and "--from" not in line:
                for source in line.split()[1:-1]:
                    assert (ROOT / source).exists(), source
                    assert any(fnmatch.fnmatch(source, name) or source.startswith(f"{name}/") for name in allowed), (
                        source
                    )


def test_image_has_files_that_pyproject_packs():
    """The build needs them before the package is installed."""
    copied = " ".join(line for line in stages()["build"] if line.startswith("COPY"))
    for needed in ("pyproject.toml", "README.md", "LICENSE", "brats_mm", "apps", "bundles"):
        assert f" {needed}" in copied


def test_compose_ports_are_loopback_only():
    for name, service in COMPOSE["services"].items():
        assert service["ports"], name
        assert all(port.startswith("127.0.0.1:") for port in service["ports"]), name


def test_compose_service_writes_only_to_volume_and_tmp():
    service = COMPOSE["services"]["brats-mm"]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["volumes"] == ["results:/data"]


def test_commands_of_image_and_compose_parse():
    from brats_mm.cli.parser import make_parser

    (command,) = [line for line in stages()["run"] if line.startswith("CMD ")]
    for words in (yaml.safe_load(command.removeprefix("CMD ")), COMPOSE["services"]["brats-mm"]["command"]):
        assert make_parser().parse_args(words).command == "serve"


def test_first_start_needs_no_token():
    """The token file is in the volume, which the service can write to."""
    from brats_mm.cli.parser import make_parser

    (command,) = [line for line in stages()["run"] if line.startswith("CMD ")]
    for words in (yaml.safe_load(command.removeprefix("CMD ")), COMPOSE["services"]["brats-mm"]["command"]):
        assert str(make_parser().parse_args(words).first_token) == "/data/first-token"
    assert "cat /data/first-token" in (ROOT / "docs" / "containers.md").read_text()


def test_page_stage_has_files_shared_with_library():
    sources = (ROOT / "apps" / "viewer" / "src").glob("*.ts")
    shared = {name for path in sources for name in re.findall(r"brats_mm/domain/\w+\.json", path.read_text("utf-8"))}
    copied = " ".join(line for line in stages()["page"] if line.startswith("COPY "))
    assert shared
    assert all(name in copied for name in shared)


def test_compose_file_has_no_password():
    text = (ROOT / "docker" / "compose.yaml").read_text()
    assert "${ORTHANC_PASSWORD:?" in text
    assert {"orthanc_header", ".env"} <= set((ROOT / "docker" / ".gitignore").read_text().split())
