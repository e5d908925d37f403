"""Run the command line `brats-mm` on this machine. No volume leaves the machine."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from BratsMMLib.failures import Refused
from BratsMMLib.running import Inputs, Progress, Stop, capitalised

_PROGRESS = re.compile(r"^(\d+) %: (.+)$")
_LINES_KEPT = 20
_LOOK_S = 0.1
_SLICERS_OWN = ("PYTHONHOME", "PYTHONPATH", "PYTHONNOUSERSITE", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
"""Environment variables of Slicer that would break another Python."""


class Process(Protocol):
    """A running program."""

    def lines(self) -> Iterator[str]:
        """Yield the lines of both of its outputs until it ends."""
        ...

    def end(self) -> int:
        """Return the exit code after the end."""
        ...

    def kill(self) -> None:
        """Kill the program and its children."""
        ...


Start = Callable[[Sequence[str], Mapping[str, str]], Process]
"""Starts a program from its arguments and environment."""


class RealProcess:
    """A program of the operating system."""

    def __init__(self, words: Sequence[str], environment: Mapping[str, str]) -> None:
        try:
            self._process = subprocess.Popen(
                list(words),
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                encoding="utf-8",
                errors="replace",
                start_new_session=os.name == "posix",
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )
        except OSError as error:
            raise Refused(
                f"{words[0]} cannot be started: {error.strerror or error}. Provide the full path of the program."
            ) from error

    def lines(self) -> Iterator[str]:
        """Yield the lines of its output until it ends."""
        if self._process.stdout is not None:
            with self._process.stdout as stream:
                yield from stream

    def end(self) -> int:
        """Return the exit code."""
        return self._process.wait()

    def kill(self) -> None:
        """Kill the program and its children. On POSIX it leads its own session."""
        with suppress(OSError):
            if os.name == "posix":
                os.killpg(self._process.pid, 15)
            else:
                self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()


@dataclass(frozen=True)
class CommandRunner:
    """Runs a case with `brats-mm segment`.

    Attributes:
        program: name or path of the program.
        device: `auto`, `cpu` or `cuda`.
        start: function that starts programs.
        leave_one_out: also measure how the result changes when each sequence is left out.
    """

    program: str = "brats-mm"
    device: str = "auto"
    start: Start = field(default=RealProcess)
    leave_one_out: bool = False

    def run(self, inputs: Inputs, folder: Path, tell: Callable[[Progress], None], stop: Stop) -> None:
        """Run the program and report its progress.

        Raises:
            Refused: the program ended with an error, which is the message.
            Stopped: the run was cancelled, and the program wrote nothing.
        """
        stop.check()
        tell(Progress("Starting", 0.02))
        words = command(find_program(self.program), inputs, folder, self.device, leave_one_out=self.leave_one_out)
        process = self.start(words, make_environment())
        over = threading.Event()
        watch = threading.Thread(target=_kill_when_stopped, args=(process, stop, over), daemon=True)
        watch.start()
        output: deque[str] = deque(maxlen=_LINES_KEPT)
        try:
            for line in process.lines():
                output.append(line.strip())
                progress = parse_progress_line(line)
                if progress is not None:
                    tell(progress)
            code = process.end()
        finally:
            over.set()
            watch.join()
        stop.check()
        if code != 0:
            raise Refused(extract_reason(output, code))


def command(program: str, inputs: Inputs, folder: Path, device: str, *, leave_one_out: bool = False) -> list[str]:
    """Return the arguments of the command: named files, so that nothing is guessed again."""
    files = [word for sequence, path in inputs.items() for word in (f"--{sequence.value}", str(path))]
    more = ["--leave-one-out"] if leave_one_out else []
    return [program, "segment", *files, "-o", str(folder), "--device", device, "--overwrite", *more]


def find_program(program: str) -> str:
    """Return the path of the program.

    Raises:
        Refused: the program does not exist.
    """
    place = shutil.which(program.strip() or "brats-mm")
    if place is None:
        raise Refused(
            f"There is no program {program.strip() or 'brats-mm'} on this machine. Install BraTS-MM "
            "(python3 -m venv, pip install brats-mm) and provide the path of its command brats-mm."
        )
    return place


def make_environment() -> dict[str, str]:
    """Return the environment without Slicer's Python and libraries."""
    return {name: value for name, value in os.environ.items() if name not in _SLICERS_OWN}


def parse_progress_line(line: str) -> Progress | None:
    """Parse the progress in a line of the program."""
    match = _PROGRESS.search(line.strip())
    return None if match is None else Progress(capitalised(match[2]), int(match[1]) / 100)


def extract_reason(output: Sequence[str] | deque[str], code: int) -> str:
    """Return the program's own error message."""
    errors = [line.removeprefix("error: ") for line in output if line.startswith("error: ")]
    if errors:
        return " ".join(errors)
    last = next((line for line in reversed(output) if line), "")
    return f"brats-mm ended with code {code}. {last}".strip()


def _kill_when_stopped(process: Process, stop: Stop, over: threading.Event) -> None:
    while not over.is_set():
        if stop.event.wait(_LOOK_S):
            process.kill()
            return
