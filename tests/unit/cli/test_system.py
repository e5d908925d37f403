"""Effects of the operating system on a command: closed streams, refused paths, signals, memory."""

import errno
import io
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from brats_mm.cli.main import main
from brats_mm.cli.system import Terminated, explain_error, terminate_on_signals
from brats_mm.outputs.folder import OutputFolder

INFO = [sys.executable, "-c", "from brats_mm.cli.main import entry; entry()", "info"]


def run(command, **options):
    return subprocess.run(command, capture_output=True, text=True, timeout=600, check=False, **options)


@pytest.mark.parametrize("line", ["info | head -1", "info --json | head -1", "--help | head -1", "info 2>&1 | true"])
def test_closed_output_pipe_is_no_error(line):
    done = run(
        f"set -o pipefail; {sys.executable} -c 'from brats_mm.cli.main import entry; entry()' {line}",
        shell=True,
        executable="/bin/bash",
    )

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")  # noqa: PTH110
def test_unwritable_result_is_an_error():
    with open("/dev/full", "w") as full:  # noqa: PTH123
        done = subprocess.run(INFO, stdout=full, stderr=subprocess.PIPE, text=True, timeout=600, check=False)

    assert done.returncode == 2
    assert done.stderr.startswith("error: Standard output cannot be written: No space left on device.")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1"])
def test_characters_unknown_to_terminal_are_escaped(encoding, tmp_path):
    folder = tmp_path / "患者"
    done = run([*INFO[:-1], "inspect", str(folder)], env={**os.environ, "PYTHONIOENCODING": f"{encoding}:strict"})

    assert done.returncode == 2
    assert "\\u60a3\\u8005" in done.stderr
    assert "Traceback" not in done.stderr


def test_unwritable_messages_do_not_stop_command(monkeypatch, capsys):
    """If standard output is on a full disk, messages stop, but the command continues."""
    from brats_mm.cli.output import Console, print_line

    class Full:
        encoding = "utf-8"

        def write(self, _):
            raise OSError(errno.ENOSPC, "No space left on device")

        def flush(self):
            raise OSError(errno.ENOSPC, "No space left on device")

        def fileno(self):
            raise OSError(errno.EBADF, "no descriptor")

    full = Full()
    monkeypatch.setattr(sys, "stdout", full)
    Console().say("found T1")

    assert print_line("a", full).errno == errno.ENOSPC


def test_rejects_too_long_names_and_invalid_ports(capsys, tmp_path):
    assert main(["inspect", str(tmp_path / ("z" * 300))]) == 2
    assert main(["serve", "--port", "99999"]) == 2

    message = capsys.readouterr().err
    assert "--port is 99999. It must be 0 to 65535." in message
    assert "File name too long" in message


def failed(kind, *arguments):
    try:
        raise kind(*arguments)
    except kind as error:
        return error


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:128] DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("Exception from src/inference: std::bad_alloc"),
        RuntimeError("can't start new thread"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        ImportError("libtorch_cpu.so: failed to map segment from shared object"),
        RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    ],
    ids=str,
)
def test_out_of_memory_is_recognised(error):
    sentence, code = explain_error(error)

    assert sentence.startswith("Out of memory.")
    assert code == 1


def test_out_of_memory_is_recognised_as_cause_of_other_error():
    error = ValueError("no model")
    error.__cause__ = MemoryError()

    assert explain_error(error)[1] == 1


@pytest.mark.parametrize(
    ("number", "code"),
    [(errno.EACCES, 2), (errno.ENAMETOOLONG, 2), (errno.ENOTDIR, 2), (errno.ELOOP, 2), (errno.ENOSPC, 1)],
)
def test_refused_paths_and_full_disks_have_messages(number, code):
    sentence, got = explain_error(OSError(number, os.strerror(number), "/a/b"))

    assert got == code
    assert sentence.startswith(f"/a/b could not be accessed: {os.strerror(number)}.")


def test_loop_of_links_has_a_message():
    """`Path.resolve` raises this before Python 3.13."""
    assert explain_error(RuntimeError("Symlink loop from '/a'")) == (
        "Symlink loop from '/a'. Check the path: its links refer to each other.",
        2,
    )


def test_internal_errors_have_no_explanation():
    assert explain_error(ValueError("wrong")) is None
    assert explain_error(KeyError("a")) is None


@pytest.mark.skipif(sys.platform == "win32", reason="no such signals")
@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGHUP", 129)])
def test_signals_leave_no_files(tmp_path, name, code):
    def work():
        with terminate_on_signals(), OutputFolder(tmp_path / "out") as out:
            out.staged("a.txt").write_text("a")
            os.kill(os.getpid(), getattr(signal, name))
            time.sleep(5)

    with pytest.raises(Terminated) as caught:
        work()

    assert caught.value.exit_code == code
    assert not (tmp_path / "out").exists()
    assert signal.getsignal(getattr(signal, name)) == signal.SIG_DFL


def test_ignored_signal_stays_ignored(tmp_path):
    """The signal is ignored as under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with terminate_on_signals():
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


KILLED = """
import os, pathlib, signal, sys
from brats_mm.outputs.folder import OutputFolder
with OutputFolder(pathlib.Path(sys.argv[1])) as out:
    out.staged("a.txt").write_text("a")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_next_run_removes_files_of_killed_run(tmp_path):
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False, timeout=600)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".brats-mm-")]

    with OutputFolder(tmp_path) as out:
        out.staged("b.txt").write_text("b")

    assert [path.name for path in tmp_path.iterdir()] == ["b.txt"]


def test_files_of_running_process_are_kept(tmp_path):
    with OutputFolder(tmp_path) as first:
        first.staged("a.txt").write_text("a")
        with OutputFolder(tmp_path) as second:
            second.staged("b.txt").write_text("b")

    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.txt", "b.txt"]


@pytest.mark.skipif(sys.platform != "linux", reason="limits of address space as on Linux")
@pytest.mark.parametrize("gib", [1, 2])
@pytest.mark.parametrize("command", ["segment", "train", "bundle create"])
def test_too_little_address_space_is_reported_at_start(tmp_path, gib, command):
    import resource

    size = gib << 30
    done = run(
        [*INFO[:-1], *command.split(), str(tmp_path), "-o", str(tmp_path / "out"), "-q"],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (size, size)),
    )

    assert done.returncode == 1
    assert done.stderr.startswith(f"error: This process is limited to {gib}.0 GiB of address space")
    assert "Traceback" not in done.stderr


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_lines_printed_beside_the_bar_start_on_their_own_line(monkeypatch):
    from brats_mm.cli.output import Console
    from brats_mm.domain.progress import SegmentProgress, Stage

    screen = Terminal()
    monkeypatch.setattr("sys.stdout", screen)
    monkeypatch.setattr("sys.stderr", screen)
    with Console().progress() as show:
        show(SegmentProgress(Stage.PREPROCESSING, 0.25, "registering T1 to T1ce"))
        Console().say("found T1")
    assert re.search(r" 25 % \|.*registering T1 to T1ce", screen.getvalue())
    assert re.search(r"[\r\n]found T1\n", screen.getvalue())
