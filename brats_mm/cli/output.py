"""The only place that prints: plain lines, a progress bar on a terminal, one JSON document on request."""

import errno
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, TextIO

from brats_mm.errors import OutputError


@dataclass(frozen=True)
class Console:
    """Where words go: results on standard output, errors, warnings and progress on standard error.

    Attributes:
        quiet: only results, warnings and errors.
        as_json: standard output holds one JSON document and nothing else.
    """

    quiet: bool = False
    as_json: bool = False

    def say(self, line: str = "") -> None:
        """A line for a person; dropped when quiet or when JSON was asked for, or where it cannot be printed."""
        if not self.quiet and not self.as_json:
            print_line(line, sys.stdout)

    def result(self, line: str) -> None:
        """A line that was asked for; dropped only when JSON was asked for.

        Raises:
            OutputError: standard output is a file that cannot be written.
        """
        if not self.as_json:
            _print_result(line)

    def warn(self, line: str) -> None:
        """Something that a reader of the results should know."""
        print_line(f"warning: {line}", sys.stderr)

    def error(self, line: str) -> None:
        """Print an error."""
        print_line(f"error: {line}", sys.stderr)

    def document(self, content: object) -> None:
        """The JSON document; dropped when it was not asked for.

        Raises:
            OutputError: standard output is a file that cannot be written.
        """
        if self.as_json:
            _print_result(json.dumps(content, indent=2))

    @contextmanager
    def progress(self, what: str) -> Iterator[Callable[[int, int], None]]:
        """A callback for (done, total): a bar on a terminal, a few lines otherwise."""
        if self.quiet:
            yield lambda done, total: None
        elif sys.stderr.isatty():
            with _bar(what) as step:
                yield step
        else:
            yield _lines(what)


def print_line(line: str, stream: TextIO | None) -> OSError | None:
    """Print a line; letters that the terminal lacks are escaped.

    Returns:
        why it could not be printed, other than that nobody reads on. The stream is dropped then, and later lines too.
    """
    if stream is None:  # pythonw has none
        return None
    try:
        _print_escaped(line, stream)
    except OSError as error:
        _drop(stream)
        return None if error.errno in (errno.EPIPE, errno.EINVAL) else error
    except ValueError:  # a closed stream
        return None
    return None


def finish_output() -> None:
    """Write what is still held back, before Python does so and complains where it cannot."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            _flush(stream)


def _flush(stream: TextIO) -> None:
    try:
        stream.flush()
    except OSError:
        _drop(stream)
    except ValueError:  # a closed stream
        return


def _print_escaped(line: str, stream: TextIO) -> None:
    try:
        print(line, file=stream, flush=True)
    except UnicodeEncodeError:
        encoding = stream.encoding or "ascii"
        print(line.encode(encoding, "backslashreplace").decode(encoding), file=stream, flush=True)


def _print_result(line: str) -> None:
    error = print_line(line, sys.stdout)
    if error is not None:
        message = f"Standard output cannot be written: {error.strerror}. Free space, or choose another file."
        raise OutputError(message)


def _drop(stream: TextIO) -> None:
    """Send what the stream still holds to nowhere."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


@contextmanager
def _bar(what: str) -> Iterator[Callable[[int, int], None]]:
    from tqdm import tqdm

    bar: Any = tqdm(desc=what, unit="window", file=sys.stderr, leave=False)

    def step(done: int, total: int) -> None:
        bar.total = total
        bar.update(done - bar.n)

    try:
        yield step
    finally:
        bar.close()


def _lines(what: str) -> Callable[[int, int], None]:
    def step(done: int, total: int) -> None:
        quarter = max(1, total // 4)
        if done == total or done % quarter == 0:
            print_line(f"{what}: {done} of {total} windows", sys.stderr)

    return step
