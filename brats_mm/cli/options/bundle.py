"""`--bundle` and `--trust-bundle` of the commands that take a bundle's configs."""

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from brats_mm.io.bundle import Bundle

TRUST = "run a bundle whose configs contain code that is not part of an installed bundle"


def add_bundle_options(parser: argparse.ArgumentParser, help: str) -> None:
    """Add `--bundle` with its help, and `--trust-bundle`."""
    parser.add_argument("--bundle", metavar="DIR", help=help)
    parser.add_argument("--trust-bundle", action="store_true", help=TRUST)


def chosen_bundle(options: argparse.Namespace) -> "Bundle":
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
