"""The only module that prints: text, a progress bar on terminals, and one JSON document on request."""

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
    """Print results to standard output, and errors, warnings and progress to standard error.

    Attributes:
        quiet: print only results, warnings and errors.
        as_json: print only one JSON document to standard output.
    """

    quiet: bool = False
    as_json: bool = False

    def say(self, line: str = "") -> None:
        """Print a line, unless quiet or in JSON mode. Output errors are ignored."""
        if not self.quiet and not self.as_json:
            print_line(line, sys.stdout)

    def result(self, line: str) -> None:
        """Print a requested line, unless in JSON mode.

        Raises:
            OutputError: standard output cannot be written.
        """
        if not self.as_json:
            _print_result(line)

    def warn(self, line: str) -> None:
        """Print a warning."""
        print_line(f"warning: {line}", sys.stderr)

    def error(self, line: str) -> None:
        """Print an error."""
        print_line(f"error: {line}", sys.stderr)

    def document(self, content: object) -> None:
        """Print the JSON document in JSON mode.

        Raises:
            OutputError: standard output cannot be written.
        """
        if self.as_json:
            _print_result(json.dumps(content, indent=2))

    @contextmanager
    def progress(self, label: str) -> Iterator[Callable[[int, int], None]]:
        """Return a callback for (done, total) that draws a bar on terminals and prints a few lines otherwise."""
        if self.quiet:
            yield lambda done, total: None
        elif sys.stderr.isatty():
            with _bar(label) as step:
                yield step
        else:
            yield _lines(label)


def print_line(line: str, stream: TextIO | None) -> OSError | None:
    """Print a line, and escape characters that the terminal cannot display.

    Returns:
        The error if the line cannot be printed for a reason other than a closed pipe. The stream then discards later
        lines.
    """
    if stream is None:  # under pythonw
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
    """Flush the streams before Python does, which would report an error."""
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
        raise OutputError(f"Standard output cannot be written: {error.strerror}. Free space, or choose another file.")


def _drop(stream: TextIO) -> None:
    """Redirect the stream and its buffered text to the null device."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


@contextmanager
def _bar(label: str) -> Iterator[Callable[[int, int], None]]:
    from tqdm import tqdm

    bar: Any = tqdm(desc=label, unit="window", file=sys.stderr, leave=False)

    def step(done: int, total: int) -> None:
        bar.total = total
        bar.update(done - bar.n)

    try:
        yield step
    finally:
        bar.close()


def _lines(label: str) -> Callable[[int, int], None]:
    def step(done: int, total: int) -> None:
        quarter = max(1, total // 4)
        if done == total or done % quarter == 0:
            print_line(f"{label}: {done} of {total} windows", sys.stderr)

    return step
