"""`brats-mm doctor`: check this installation."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from brats_mm.cli.command import EXIT_FAULT, EXIT_OK, Commands, add_command
from brats_mm.cli.options.common import add_bundle_options, add_json_option
from brats_mm.cli.options.service import add_data_option
from brats_mm.cli.output import Console

if TYPE_CHECKING:
    from brats_mm.pipeline.doctor import Check


def add(commands: Commands) -> None:
    """Add `brats-mm doctor`."""
    parser = add_command(
        commands,
        "doctor",
        run,
        help="check this installation: versions, devices, weights, disk",
        description="Check this installation and suggest how to fix problems. Exit code 1 if a check fails.",
        epilog="example:\n  brats-mm doctor --json",
    )
    add_bundle_options(parser, "model bundle to check (default: the installed one)")
    add_data_option(parser, "data folder of the service, whose records are checked if it exists")
    add_json_option(parser)


def run(options: argparse.Namespace, console: Console) -> int:
    """Run `brats-mm doctor` and return its exit code: 1 if a check fails."""
    from brats_mm.pipeline.doctor import run_checks

    checks = (*run_checks(options.bundle, trusted=options.trust_bundle), *_run_service_checks(options.data))
    failed = [check for check in checks if check.state == "failed"]
    for check in checks:
        console.result(f"{check.state:8}{check.name}: {check.found}")
    console.result(
        "This installation cannot segment yet. See the failed checks." if failed else "OK: ready to segment."
    )
    console.document({"ok": not failed, "checks": [vars(check) for check in checks]})
    return EXIT_FAULT if failed else EXIT_OK


def _run_service_checks(data: Path) -> "tuple[Check, ...]":
    """Return the checks for `brats-mm serve`, or none if the service is not installed."""
    from brats_mm.pipeline.doctor import Check

    try:
        from brats_mm_service.confinement import read_landlock_version
        from brats_mm_service.database import check_records
        from brats_mm_service.service import DATABASE
    except ImportError:
        return ()
    version = read_landlock_version()
    if version:
        confined = Check("confinement", "ok", f"Landlock, version {version}")
    else:
        message = "The kernel does not support Landlock, so service jobs are not confined. See docs/security.md."
        confined = Check("confinement", "warning", message)
    records = data / DATABASE
    if not records.is_file():
        return (confined,)
    fault = check_records(records)
    return (confined, Check("records", "failed" if fault else "ok", fault or str(records)))
