"""`--bundle` and `--trust-bundle` of the commands that take a bundle's configs."""

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from brats_mm.io.bundle import Bundle

TRUST = "run a bundle although its configs contain code that no installed bundle has"


def add_bundle_options(parser: argparse.ArgumentParser, help: str) -> None:
    """Add `--bundle` with its help, and `--trust-bundle`."""
    parser.add_argument("--bundle", metavar="DIR", help=help)
    parser.add_argument("--trust-bundle", action="store_true", help=TRUST)


def chosen_bundle(options: argparse.Namespace) -> "Bundle":
    """Return the bundle that the options name.

    Raises:
        BundleError: the bundle does not exist, or its configs hold unknown code that the user did not trust.
    """
    from brats_mm.io.bundle import open_bundle
    from brats_mm.io.bundle_trust import check_configs

    bundle = open_bundle(options.bundle)
    if not options.trust_bundle:
        check_configs(bundle)
    return bundle
