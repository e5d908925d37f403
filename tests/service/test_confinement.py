"""The process that reads uploads cannot access other files, enforced by the kernel."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from brats_mm_service.confinement import read_landlock_version
from tests.fakes.serving import ended, serving, small_settings, two_files

pytestmark = pytest.mark.skipif(read_landlock_version() == 0, reason="the kernel has no Landlock")

PROBE = """
import json, sys, socket
from pathlib import Path
from brats_mm_service.workers.inference import _confine_job
own, others = Path(sys.argv[1]), sys.argv[2:]
_confine_job({"output": str(own / "attempt-1")}, [])
import SimpleITK as sitk
def outcome(action):
    try:
        action()
        return "open"
    except (OSError, RuntimeError) as error:
        return "refused"
found = {other: outcome(lambda: Path(other).read_bytes()) for other in others}
found["write"] = outcome(lambda: (own.parent / "new").write_text("x"))
found["network"] = outcome(lambda: socket.create_connection(("127.0.0.1", 9)))
found["own"] = outcome(lambda: (own / "upload" / "t1.mha").read_bytes())
found["itk"] = outcome(lambda: sitk.ReadImage(str(own / "upload" / "t1.mha")))
print(json.dumps(found))
"""


def test_job_can_access_only_its_folder(tmp_path):
    own, other = tmp_path / "jobs" / "own", tmp_path / "jobs" / "other" / "upload"
    (own / "upload").mkdir(parents=True)
    other.mkdir(parents=True)
    (other / "t1.raw").write_bytes(bytes(8**3))
    (tmp_path / "records.sqlite3").write_bytes(b"secret")
    # ITK would follow this header. Landlock must prevent it.
    header = f"NDims = 3\nDimSize = 8 8 8\nElementType = MET_UCHAR\nElementDataFile = {other / 't1.raw'}\n"
    (own / "upload" / "t1.mha").write_text(header)
    others = [other / "t1.raw", tmp_path / "records.sqlite3", "/etc/passwd", "/proc/self/environ"]
    result = subprocess.run(
        [sys.executable, "-c", PROBE, str(own), *map(str, others)],
        capture_output=True,
        text=True,
        check=True,
        timeout=600,
    )
    document = json.loads(result.stdout.splitlines()[-1])
    assert document.pop("own") == "open"
    assert set(document.values()) == {"refused"}, document
    assert len(document) == len(others) + 3


def test_same_header_is_followed_without_confinement(tmp_path):
    """Without confinement the file is read, so the test above depends on it."""
    import SimpleITK

    (tmp_path / "other.raw").write_bytes(bytes(8**3))
    header = f"NDims = 3\nDimSize = 8 8 8\nElementType = MET_UCHAR\nElementDataFile = {tmp_path / 'other.raw'}\n"
    (tmp_path / "t1.mha").write_text(header)
    assert SimpleITK.ReadImage(str(tmp_path / "t1.mha")).GetSize() == (8, 8, 8)


@pytest.mark.skipif(not Path("/usr/bin/strace").exists(), reason="strace is not installed")
def test_upload_reader_opens_only_libraries_and_upload(tmp_path, made_head):
    """Observed from outside: the checker opens only files below the folder of the upload."""
    with serving(small_settings(tmp_path / "data")) as client:
        ended(client, client.post("/v1/jobs", files=two_files(made_head)).json()["id"])
        trace = tmp_path / "trace"
        command = ["strace", "-f", "-e", "trace=open,openat", "-o", str(trace), "-p", str(client.service.checker.pid)]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as tracer:
            try:
                assert "attached" in tracer.stderr.readline()
                job = client.post("/v1/jobs", files=two_files(made_head)).json()["id"]
                assert ended(client, job)["state"] == "done"
            finally:
                tracer.terminate()
        opened = {line.split('"')[1] for line in trace.read_text().splitlines() if '"' in line and "= -1" not in line}
    outside = [path for path in opened if not path.startswith((str(tmp_path), "/proc/self/status"))]
    libraries = (sys.prefix, sys.base_prefix, "/usr", "/lib", "/etc/ld.so.cache", str(Path(__file__).parents[2]))
    rest = [path for path in outside if not path.startswith(libraries) and not path.startswith("/dev/null")]
    # O_PATH handles for the rules do not read files.
    rules = {line.split('"')[1] for line in trace.read_text().splitlines() if "O_PATH" in line}
    print(f"{len(opened)} paths opened, {len(set(rest) - rules)} of them beside the upload and libraries")  # noqa: T201
    assert any("incoming" in path for path in opened)
    assert set(rest) <= rules, rest
