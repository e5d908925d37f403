"""`brats-mm bundle`: create, zip and describe a bundle."""

from brats_mm.cli.command import Commands, HelpFormatter
from brats_mm.cli.commands.bundle import card, create, ensemble, trust_profile, zip


def add(commands: Commands) -> None:
    """Add `brats-mm bundle` with its subcommands."""
    parser = commands.add_parser(
        "bundle",
        help="create, zip or describe a bundle",
        description="Create a bundle from trained weights, zip it for publishing, update its model card, or fit its "
        "trust profile.",
        formatter_class=HelpFormatter,
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for action in (create, ensemble, zip, card, trust_profile):
        action.add(actions)
