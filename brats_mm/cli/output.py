"""The only module that prints: text, a progress bar on terminals, and one JSON document on request."""

import errno
import json
import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from typing import Any, TextIO

from brats_mm.domain.progress import OnProgress, SegmentProgress, Stage
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
    def progress(self) -> Iterator[OnProgress]:
        """Return a callback that draws one bar over all stages on terminals, and prints a few lines otherwise."""
        if self.quiet:
            yield lambda _: None
        elif sys.stderr is not None and sys.stderr.isatty():
            with _draw_bar() as show:
                yield show
        else:
            yield _make_line_printer()


def print_line(line: str, stream: TextIO | None) -> OSError | None:
    """Print a line, and escape characters that the terminal cannot display.

    Returns:
        The error if the line cannot be printed for a reason other than a closed pipe. The stream then discards later
        lines.
    """
    if stream is None:  # under pythonw
        return None
    try:
        with _hide_bar():
            _print_escaped(line, stream)
    except OSError as error:
        _silence(stream)
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
        _silence(stream)
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


def _silence(stream: TextIO) -> None:
    """Redirect the stream and its buffered text to the null device."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def _hide_bar() -> AbstractContextManager[Any]:
    """Remove the progress bar, if there is one, while a line is printed."""
    tqdm = sys.modules.get("tqdm")
    return nullcontext() if tqdm is None else tqdm.tqdm.external_write_mode(file=sys.stderr)


@contextmanager
def _draw_bar() -> Iterator[OnProgress]:
    from tqdm import tqdm

    bar: Any = tqdm(
        total=100, file=sys.stderr, leave=False, bar_format="{percentage:3.0f} % |{bar:30}| {elapsed} {desc}"
    )

    def show(progress: SegmentProgress) -> None:
        bar.n = 100 * progress.fraction
        bar.set_description_str(str(progress))

    try:
        yield show
    finally:
        bar.close()


def _make_line_printer() -> OnProgress:
    """Print each stage and step, and each quarter of the network's passes."""
    printed: set[tuple[Stage, str, int]] = set()

    def show(progress: SegmentProgress) -> None:
        quarter = 4 * progress.done // progress.total if progress.total else 0
        key = (progress.stage, progress.step, quarter)
        if key not in printed:
            printed.add(key)
            print_line(f"{100 * progress.fraction:.0f} %: {progress}", sys.stderr)

    return show
