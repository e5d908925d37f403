"""`brats-mm doctor`: check this installation."""

import argparse

from brats_mm.cli.command import EXIT_FAULT, EXIT_OK, Commands, add_command, add_json_option
from brats_mm.cli.output import Console


def add(commands: Commands) -> None:
    """Add `brats-mm doctor`."""
    parser = add_command(
        commands,
        "doctor",
        run,
        help="check this installation: versions, devices, weights, disk",
        description="Check this installation, and say what to do about what is wrong. Exit code 1 where it fails.",
        epilog="example:\n  brats-mm doctor --json",
    )
    parser.add_argument("--bundle", metavar="DIR", help="model bundle to check instead of the one installed")
    add_json_option(parser)


def run(options: argparse.Namespace, console: Console) -> int:
    """Run the command; exit code 1 where a check fails."""
    from brats_mm.pipeline.doctor import examine

    checks = examine(options.bundle)
    failed = [check for check in checks if check.state == "failed"]
    for check in checks:
        console.result(f"{check.state:8}{check.name}: {check.found}")
    console.result("This installation cannot segment yet; see the failed lines." if failed else "OK: ready to segment.")
    console.document({"ok": not failed, "checks": [vars(check) for check in checks]})
    return EXIT_FAULT if failed else EXIT_OK
