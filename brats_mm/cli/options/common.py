"""Options that many commands share: terminal output and the bundle."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from brats_mm.io.bundle import Bundle

TRUST = "run a bundle whose configs contain code that is not part of an installed bundle"


def add_terminal_options(parser: argparse.ArgumentParser, document: str = "one JSON document") -> None:
    """Add `--quiet`, `--verbose` and `--json`. `document` describes the output of `--json`."""
    group = parser.add_argument_group("terminal output")
    group.add_argument("-q", "--quiet", action="store_true", help="print only warnings and errors")
    group.add_argument("-v", "--verbose", action="store_true", help="also print the library's log")
    group.add_argument("--json", action="store_true", help=f"print {document}")


def add_json_option(parser: argparse.ArgumentParser) -> None:
    """Add `--json` to a command that always prints its results."""
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def add_dataset_dir_option(parser: argparse.ArgumentParser) -> None:
    """Add `--dataset-dir` to a command that reads a list of cases."""
    parser.add_argument(
        "--dataset-dir",
        type=Path,
        metavar="DIR",
        help="folder that the list's paths are relative to (default: folder of the list)",
    )


def add_bundle_options(parser: argparse.ArgumentParser, help: str) -> None:
    """Add `--bundle`, with its help text, and `--trust-bundle`."""
    parser.add_argument("--bundle", metavar="DIR", help=help)
    parser.add_argument("--trust-bundle", action="store_true", help=TRUST)


def open_selected_bundle(options: argparse.Namespace) -> "Bundle":
    """Return the bundle selected by the options.

    Raises:
        BundleError: the bundle does not exist, or its configs contain unknown code without --trust-bundle.
    """
    from brats_mm.io.bundle import open_bundle
    from brats_mm.io.bundle_trust import check_configs

    bundle = open_bundle(options.bundle)
    if not options.trust_bundle:
        check_configs(bundle)
    return bundle
