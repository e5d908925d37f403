"""What `brats-mm serve` and `brats-mm token` share: the data folder, and the package of the service."""

import argparse
from pathlib import Path
from typing import Any

from brats_mm.errors import OptionError


def add_data_option(parser: argparse.ArgumentParser, text: str) -> None:
    """Add `--data`, the folder in which the service keeps everything; `text` is its help."""
    parser.add_argument("--data", type=Path, default=Path("brats-mm-data"), metavar="DIR", help=text)


def service_package() -> Any:
    """The server of the service, whose packages a user of the library need not install.

    Raises:
        OptionError: they are not installed.
    """
    try:
        from brats_mm_service import server
    except ImportError as error:
        message = (
            f'The service\'s packages are not installed ({error.name} is missing). Run: pip install "brats-mm[service]"'
        )
        raise OptionError(message) from error
    return server
