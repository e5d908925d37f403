"""No command resolves a host name, connects beyond this machine, or writes to the home folder outside its cache."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from tests.bundles.conftest import write_case

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
ENTRY = [sys.executable, "-c", "from brats_mm.cli.main import entry; entry()"]

GUARD = '''
"""Refuse and record each name look-up and each connection to another machine. Child processes load it too."""
import ipaddress, os, sys

def _is_here(address):
    if not isinstance(address, tuple):
        return True  # a socket of this machine's file system
    return _is_local(address[0])

def _is_local(host):
    host = host.decode() if isinstance(host, bytes) else host
    if host in (None, "", "localhost"):
        return True
    try:
        found = ipaddress.ip_address(host)
    except ValueError:
        return False
    return found.is_loopback or found.is_unspecified or host in os.environ.get("OWN_ADDRESSES", "").split()

def _judge(event, arguments):
    if event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyname_ex"):
        good = _is_local(arguments[0])
    elif event == "socket.gethostbyaddr":
        good = True
    elif event in ("socket.connect", "socket.sendto"):
        good = _is_here(arguments[1])
    else:
        return
    if not good:
        with open(os.environ["NETWORK_LOG"], "a") as log:
            log.write(f"{event} {arguments[:2]} in {sys.argv[:3]}\\n")
        raise OSError(101, "Network is unreachable")

sys.addaudithook(_judge)
'''


@pytest.fixture
def guarded(tmp_path):
    """Environment for child processes, and the file in which they record their attempts."""
    (tmp_path / "guard").mkdir()
    (tmp_path / "guard" / "sitecustomize.py").write_text(GUARD)
    (tmp_path / "home").mkdir()
    log = tmp_path / "network.txt"
    paths = [str(tmp_path / "guard"), str(ROOT), str(ROOT / "apps" / "service")]
    dropped = {"XDG_CACHE_HOME", "RAY_USAGE_STATS_ENABLED", "DO_NOT_TRACK", "MLFLOW_DISABLE_TELEMETRY"}
    environment = {name: value for name, value in os.environ.items() if name not in dropped}
    environment |= {
        "PYTHONPATH": os.pathsep.join(paths),
        "HOME": str(tmp_path / "home"),
        "NETWORK_LOG": str(log),
        "OMP_NUM_THREADS": "1",
        "OWN_ADDRESSES": _own_address(),
        "RAY_agent_register_timeout_ms": "300000",  # on a busy machine
        "RAY_worker_niceness": "0",
    }
    return environment, log


def _own_address():
    """Return the address of this machine for Ray's processes, without sending a packet."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as way:
        try:
            way.connect(("192.0.2.1", 9))
        except OSError:
            return ""
        return str(way.getsockname()[0])


def run(environment, *arguments, command=ENTRY):
    done = subprocess.run(
        [*command, *map(str, arguments)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 0, f"{done.stderr[-2000:]}\n{attempts(Path(environment['NETWORK_LOG']))}"
    return done


def _wait_for_children(environment):
    """Wait until no process with this environment is left."""
    mark = f"NETWORK_LOG={environment['NETWORK_LOG']}".encode()
    end = time.monotonic() + 300
    while left := [process for process in Path("/proc").glob("[0-9]*") if mark in _environment_of(process)]:
        assert time.monotonic() < end, left
        time.sleep(0.1)


def _environment_of(process):
    try:
        return (process / "environ").read_bytes().split(b"\0")
    except OSError:
        return []


def attempts(log):
    return log.read_text() if log.exists() else ""


def test_guard_records_lookups_and_connections(guarded):
    environment, log = guarded
    program = (
        "import socket\n"
        "for step in (lambda: socket.getaddrinfo('example.org', 80), lambda: socket.create_connection(('192.0.2.1', 9)),"
        " lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect(('192.0.2.1', 9))):\n"
        "    try: step()\n"
        "    except OSError: pass\n"
    )
    run(environment, "-c", program, command=[sys.executable])

    assert len(attempts(log).splitlines()) == 3


@pytest.mark.parametrize("arguments", [["info"], ["doctor"]])
def test_info_and_doctor_make_no_connections(guarded, arguments):
    environment, log = guarded
    run(environment, *arguments)

    assert attempts(log) == ""


def test_segment_makes_no_connections(guarded, made_head, tmp_path):
    """Use the shipped weights and the default backend."""
    environment, log = guarded
    run(environment, "segment", made_head, "-o", tmp_path / "out", "--no-preview")
    _wait_for_children(environment)  # a usage report could come from a process that outlives the run

    assert attempts(log) == ""
    written = {path.relative_to(tmp_path / "home").parts[:2] for path in (tmp_path / "home").rglob("*")}
    assert written <= {(".cache",), (".cache", "brats-mm")}


IN_PYTHON = """
import sys
import nibabel as nib
from brats_mm import Segmenter

folder, out, memory = sys.argv[1:]
case = {name: f"{folder}/BraTS-GLI-00000-000-{end}.nii.gz" for name, end in (("t1ce", "t1c"), ("flair", "t2f"))}
if memory == "memory":
    case = {name: nib.load(path) for name, path in case.items()}
Segmenter.from_bundle().predict(case).save(out)
"""


@pytest.mark.parametrize("source", ["paths", "memory"])
def test_python_makes_no_connections(guarded, made_head, tmp_path, source):
    """Use the shipped weights and the default backend."""
    environment, log = guarded
    run(environment, "-c", IN_PYTHON, made_head, tmp_path / "out", source, command=[sys.executable])
    _wait_for_children(environment)

    assert attempts(log) == ""
    assert (tmp_path / "out" / "segmentation.nii.gz").is_file()


@pytest.mark.parametrize("engine", [(), ("--ray", "local")], ids=["local", "ray"])
def test_cohort_makes_no_connections(guarded, made_head, tmp_path, engine):
    if engine:
        pytest.importorskip("ray")
    environment, log = guarded
    (tmp_path / "cases").mkdir()
    (tmp_path / "cases" / "one").symlink_to(made_head)
    run(environment, "cohort", tmp_path / "cases", "-o", tmp_path / "out", *engine)

    assert attempts(log) == ""


def test_serve_makes_no_connections(guarded, tmp_path):
    environment, log = guarded
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    arguments = ["serve", "--port", str(port), "--data", str(tmp_path / "data"), "--min-free-gib", "0"]
    server = subprocess.Popen(
        [*ENTRY, *arguments], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        end = time.monotonic() + 300
        while not _is_ready(port):
            assert server.poll() is None
            assert time.monotonic() < end
            time.sleep(0.5)
    finally:
        server.send_signal(signal.SIGINT)
        try:
            server.wait(300)
        finally:
            server.kill()

    assert attempts(log) == ""


def _is_ready(port):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=300) as answer:
            return answer.status == 200
    except OSError:
        return False


def test_train_makes_no_connections(guarded, tmp_path):
    """Train one epoch with MLflow tracking."""
    pytest.importorskip("mlflow")
    environment, log = guarded
    for name in ("one", "two"):
        write_case(tmp_path / "cases", name)
    (tmp_path / "cases" / "datalist.json").write_text('{"training": ["one"], "validation": ["two"]}')
    from tests.bundles.conftest import TINY_EXPERT

    tiny = tmp_path / "expert.json"
    tiny.write_text(json.dumps({"network_def": TINY_EXPERT}))
    configs = ROOT / "bundles" / "brats_mm_segmentation" / "configs"
    files = [str(configs / "train.json"), str(configs / "pretrain_expert.json"), str(tiny)]
    command = [sys.executable, "-m", "monai.bundle", "run", "--config_file", str(files)]
    arguments = ["--dataset_dir", tmp_path / "cases", "--output_dir", tmp_path / "models", "--logging_file", "False"]
    arguments += ["--device", "cpu", "--epochs", "1", "--val_interval", "1", "--spacing_mm", "4.0", "--modality", "t1"]
    arguments += ["--window", "[64,32,32]", "--validation_window", "[64,32,32]", "--mlflow", tmp_path / "tracked"]
    run(environment, *arguments, command=command)

    assert attempts(log) == ""
