"""Options of the commands that train with a bundle's configs."""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brats_mm.cli.options.common import add_bundle_options
from brats_mm.cli.output import Console
from brats_mm.errors import BratsMMError, OptionError

if TYPE_CHECKING:
    from logging import LogRecord


def add_training_options(parser: argparse.ArgumentParser) -> None:
    """Add `--set`, `--config`, `--bundle`, `--trust-bundle` and `--debug`."""
    parser.add_argument(
        "--set",
        nargs="*",
        action="extend",
        default=[],
        dest="settings",
        metavar="NAME=VALUE",
        help="settings of the training, listed in docs/training.md",
    )
    parser.add_argument(
        "--config",
        nargs="*",
        default=[],
        metavar="NAME",
        help="configs to merge into the bundle's train.json: names such as paper or mmp, or files",
    )
    add_bundle_options(parser, "bundle to take the configs from (default: the installed one)")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")


def parse_settings(options: argparse.Namespace) -> dict[str, Any]:
    """Return the settings after `--set`.

    Raises:
        OptionError: a setting is not NAME=VALUE.
    """
    return dict(_parse_setting(text) for text in options.settings)


class SettingsPrinter:
    """Print the settings of each training run. Runs of the same stage after the first print only the differences.

    Args:
        console: console to print to.

    Attributes:
        trainings: settings of the training runs so far, by name.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self.trainings: dict[str, dict[str, Any]] = {}

    def __call__(self, name: str, resolved: Mapping[str, Any], changed: Mapping[str, Any]) -> None:
        """Print the settings of a training run.

        Args:
            name: name of the training run.
            resolved: settings by name.
            changed: names of settings that differ from the bundle's `train.json`.
        """
        stage = resolved.get("stage")
        former = next((other for other, settings in self.trainings.items() if settings.get("stage") == stage), None)
        self.trainings[name] = dict(resolved)
        if former is None:
            self.console.say(f"Settings of the {name} (* differs from the bundle's train.json):")
            shown = dict(resolved)
        else:
            self.console.say(f"Settings of the {name} that differ from those of the {former}:")
            shown = {
                key: value for key, value in resolved.items() if self.trainings[former].get(key, not value) != value
            }
        for key, value in shown.items():
            self.console.say(f"  {'*' if key in changed else ' '} {key} = {json.dumps(value)}")


class _MonaiFilter:
    """Filter for MONAI's loggers. Hides tracebacks and the note about the log file, unless `debug` is set."""

    def __init__(self) -> None:
        self.debug = self.quiet = False

    def __call__(self, record: "LogRecord") -> bool:
        """Return whether to show a record."""
        if self.debug:
            return True
        is_noise = record.exc_info is not None or "Logging file is set to" in record.getMessage()
        return not is_noise and not (self.quiet and record.levelname == "INFO")


_MONAI_FILTER = _MonaiFilter()
_MONAI_LOGGERS = ("monai.bundle.workflows", "monai.handlers.StatsHandler")


def show_log(options: argparse.Namespace) -> None:
    """Print the training log, but not the logs of other libraries."""
    import logging

    logging.getLogger("ignite").setLevel(logging.NOTSET if options.debug else logging.CRITICAL)  # it logs tracebacks
    _MONAI_FILTER.debug, _MONAI_FILTER.quiet = options.debug, options.quiet
    from monai.apps import get_logger

    for name in _MONAI_LOGGERS:
        get_logger(name).addFilter(_MONAI_FILTER)
    if options.quiet:
        return
    library = logging.getLogger("brats_mm")
    library.setLevel(logging.INFO)
    if not any(isinstance(handler, logging.StreamHandler) for handler in library.handlers):
        library.addHandler(logging.StreamHandler())


def list_saved_states(folder: Path) -> frozenset[tuple[Path, int]]:
    """Return the path and modification time of each training state in a folder. Each epoch replaces them."""
    return frozenset((path, path.stat().st_mtime_ns) for path in folder.rglob("*_last.pt"))


@contextmanager
def reserve_training_output(options: argparse.Namespace) -> Iterator[None]:
    """Log the traceback of an error with `--debug`, and reserve standard output for the document of `--json`."""
    import logging

    with _move_logs_to_stderr() if options.json else nullcontext():
        try:
            yield
        except BratsMMError:
            if options.debug:
                logging.getLogger(__name__).exception("The training failed:")
            raise


@contextmanager
def _move_logs_to_stderr() -> Iterator[None]:
    """Move the logs of MONAI, which go to standard output, to standard error."""
    import logging

    loggers = [logging.getLogger(name) for name in logging.root.manager.loggerDict]
    handlers = [handler for source in [logging.root, *loggers] for handler in source.handlers]
    moved = [source for source in handlers if isinstance(source, logging.StreamHandler) and source.stream is sys.stdout]
    for handler in moved:
        handler.setStream(sys.stderr)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        for handler in moved:
            handler.setStream(sys.stdout)


def _parse_setting(setting: str) -> tuple[str, Any]:
    """Parse NAME=VALUE, with the value as JSON if possible and as text otherwise."""
    name, equals, text = setting.partition("=")
    if not equals or not name:
        raise OptionError(f"Expected NAME=VALUE, such as epochs=100, got {setting!r}.")
    try:
        return name, json.loads(text)
    except ValueError:
        return name, text
