"""The service for the commands that use it: its data folder and its package."""

import argparse
from pathlib import Path
from typing import Any

from brats_mm.errors import OptionError


def add_data_option(parser: argparse.ArgumentParser, text: str) -> None:
    """Add `--data`, the folder of all service data, with the given help text."""
    parser.add_argument("--data", type=Path, default=Path("brats-mm-data"), metavar="DIR", help=text)


def import_service() -> Any:
    """Import the service, whose dependencies are optional.

    Raises:
        OptionError: the dependencies are not installed.
    """
    try:
        from brats_mm_service import server
    except ModuleNotFoundError as error:
        raise OptionError(
            f'The service needs {error.name}, which is not installed. Run: pip install "brats-mm[service]"'
        ) from error
    return server
