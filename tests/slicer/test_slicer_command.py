"""The command line as a process: arguments, progress, error message, and cancel."""

import sys
import threading

import pytest

from brats_mm.cli.parser import make_parser
from BratsMMLib.command import CommandRunner, RealProcess, command, make_environment, parse_progress_line
from BratsMMLib.failures import Refused
from BratsMMLib.running import Cancelled, Done, Failed, Progress, Run, Stop
from BratsMMLib.sequences import Sequence


class FakeProcess:
    """Prints lines and ends with a code. With `forever`, it ends only when it is killed."""

    def __init__(self, said=(), code=0, *, forever=False):
        self.said, self.code, self.forever, self.killed = said, code, forever, threading.Event()

    def __call__(self, words, environment):
        self.words, self.environment = words, environment
        return self

    def lines(self):
        yield from self.said
        if self.forever:
            self.killed.wait(300)

    def end(self):
        return self.code

    def kill(self):
        self.killed.set()


def run(process, tmp_path):
    reported = []
    inputs = {Sequence.FLAIR: tmp_path / "flair.nrrd"}
    CommandRunner(sys.executable, start=process).run(inputs, tmp_path / "out", reported.append, Stop())
    return reported


def test_arguments_parse(tmp_path):
    inputs = {Sequence.T1CE: tmp_path / "a.nrrd", Sequence.FLAIR: tmp_path / "b.nrrd"}
    words = command("brats-mm", inputs, tmp_path / "out", "cpu")
    options = make_parser().parse_args(words[1:])
    assert (options.t1ce, options.flair, options.t1) == (str(tmp_path / "a.nrrd"), str(tmp_path / "b.nrrd"), None)
    assert (options.output, options.device) == (str(tmp_path / "out"), "cpu")
    assert not options.leave_one_out
    words = command("brats-mm", inputs, tmp_path / "out", "cpu", leave_one_out=True)
    assert make_parser().parse_args(words[1:]).leave_one_out


def test_progress_comes_from_program_output(tmp_path):
    """Only lines that begin with a percentage are progress."""
    lines = ("found FLAIR\n", "10 %: registering T1 to T1ce\n", "50 %: segmenting, part 2 of 4\n", "warning: x\n")
    assert run(FakeProcess(lines), tmp_path) == [
        Progress("Starting", 0.02),
        Progress("Registering T1 to T1ce", 0.1),
        Progress("Segmenting, part 2 of 4", 0.5),
    ]
    assert parse_progress_line("12 files in out") is None


def test_error_message_of_program_is_shown(tmp_path):
    """Without an error message, the last line and the exit code are shown."""
    with pytest.raises(Refused, match=r"^The volumes differ\.$"):
        run(FakeProcess(("error: The volumes differ.\n",), 2), tmp_path)
    with pytest.raises(Refused, match=r"ended with code 9\. Killed"):
        run(FakeProcess(("Killed\n",), 9), tmp_path)


def test_missing_program_is_reported(tmp_path):
    """The message names the remedy."""
    with pytest.raises(Refused, match="no program no-such-program"):
        CommandRunner("no-such-program").run({}, tmp_path, lambda progress: None, Stop())


def test_slicer_python_variables_are_removed(monkeypatch):
    """Its environment variables would break another Python."""
    monkeypatch.setenv("PYTHONHOME", "/opt/Slicer/lib/Python")
    assert "PYTHONHOME" not in make_environment()
    assert "PATH" in make_environment()


def test_cancel_kills_process(tmp_path):
    """The outcome is a cancellation, not a failure."""
    process = FakeProcess(code=-15, forever=True)
    job = Run(CommandRunner(sys.executable, start=process), {Sequence.T2: tmp_path / "a.nrrd"}, tmp_path).start()
    job.cancel()
    assert job.join(300)
    assert isinstance(job.news()[-1], Cancelled)
    assert process.killed.is_set()


@pytest.mark.parametrize(("code", "kind"), [(0, Done), (3, Failed)])
def test_real_program_runs_in_background(tmp_path, code, kind):
    """Its output is read until it ends."""

    def start(words, environment):
        script = f"import sys; print('50 %: segmenting, part 1 of 2', file=sys.stderr); sys.exit({code})"
        return RealProcess([sys.executable, "-c", script], environment)

    job = Run(CommandRunner(sys.executable, start=start), {}, tmp_path).start()
    assert job.join(300)
    news = job.news()
    assert Progress("Segmenting, part 1 of 2", 0.5) in news
    assert isinstance(news[-1], kind)


def test_real_program_is_killed(tmp_path):
    """The program is killed long before it would end."""

    def start(words, environment):
        return RealProcess(
            [sys.executable, "-c", "import time; print('on', flush=True); time.sleep(3600)"], environment
        )

    job = Run(CommandRunner(sys.executable, start=start), {}, tmp_path).start()
    assert not job.join(0.3)
    job.cancel()
    assert job.join(300)
    assert isinstance(job.news()[-1], Cancelled)
