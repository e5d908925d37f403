"""The only place that prints: plain lines, a progress bar on a terminal, one JSON document on request."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


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
        """A line for a person; dropped when quiet or when JSON was asked for."""
        if not self.quiet and not self.as_json:
            print(line, flush=True)

    def result(self, line: str) -> None:
        """A line that was asked for; dropped only when JSON was asked for."""
        if not self.as_json:
            print(line, flush=True)

    def warn(self, line: str) -> None:
        """Something that a reader of the results should know."""
        print(f"warning: {line}", file=sys.stderr, flush=True)

    def error(self, line: str) -> None:
        """Why nothing came of it."""
        print(f"error: {line}", file=sys.stderr, flush=True)

    def document(self, content: object) -> None:
        """The JSON document; dropped when it was not asked for."""
        if self.as_json:
            print(json.dumps(content, indent=2), flush=True)

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
            print(f"{what}: {done} of {total} windows", file=sys.stderr, flush=True)

    return step
