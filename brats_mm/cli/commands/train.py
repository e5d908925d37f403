"""`brats-mm train`: train the experts and the mixture on labelled cases."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brats_mm.cli.command import EXIT_INTERRUPTED, Commands, add_command, add_terminal_options
from brats_mm.cli.options.bundle import add_bundle_options, chosen_bundle
from brats_mm.cli.output import Console
from brats_mm.errors import BratsMMError, OptionError

if TYPE_CHECKING:
    from brats_mm.training.two_stages import OnStage, Plan

MODALITIES = ("t1", "t1ce", "t2", "flair")


def add(commands: Commands) -> None:
    """Add `brats-mm train`."""
    parser = add_command(
        commands,
        "train",
        run,
        help="train the experts and the mixture on labelled cases",
        description="Train the four experts, then the mixture that starts from them, with the bundle's configs. Prints "
        "the settings before each training. Add --set resume=true to continue a stopped training.",
        epilog="examples:\n  brats-mm train CASES -o models\n"
        "  brats-mm train CASES -o models --config paper\n"
        "  brats-mm train CASES -o models --estimate\n"
        "  brats-mm train CASES -o models --stage experts --modality t1ce --set epochs=100 learning_rate=0.001\n"
        "  brats-mm train CASES -o models --set resume=true",
    )
    parser.add_argument("dataset", type=Path, metavar="CASES", help="folder of the cases, with a datalist.json")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="OUT", help="folder for the checkpoints")
    parser.add_argument("--datalist", type=Path, metavar="FILE", help="list of cases (default: CASES/datalist.json)")
    parser.add_argument(
        "--set",
        nargs="*",
        action="extend",
        default=[],
        dest="settings",
        metavar="NAME=VALUE",
        help="settings of the training, listed in docs/training.md",
    )
    parser.add_argument("--stage", choices=("all", "experts", "mixture"), default="all", help="what to train")
    parser.add_argument("--modality", nargs="*", choices=MODALITIES, default=list(MODALITIES), help="experts to train")
    parser.add_argument(
        "--config",
        nargs="*",
        default=[],
        metavar="NAME",
        help="configs to merge into the bundle's, such as paper, mmp or a file",
    )
    add_bundle_options(parser, "bundle to take the configs from (default: the installed one)")
    parser.add_argument("--dry-run", action="store_true", help="check settings and cases, print them, and stop")
    parser.add_argument(
        "--estimate",
        action="store_true",
        help="check, take two steps of each training, print its memory and hours and the data's fingerprint, and stop",
    )
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    add_terminal_options(parser, "the settings of each training as one JSON document")


def run(options: argparse.Namespace, console: Console) -> int:
    """Run the command."""
    import logging

    from brats_mm.training.two_stages import Plan, train

    settings = dict(_setting(word) for word in options.settings)
    if options.datalist is not None:
        settings["datalist"] = str(options.datalist)
    plan = Plan(
        options.dataset, options.output, options.stage, tuple(options.modality), tuple(options.config), settings
    )
    trainings: dict[str, Any] = {}

    def show(name: str, resolved: Any, changed: Any) -> None:
        trainings[name] = dict(resolved)
        console.say(f"Settings of the {name} (* differs from the bundle's train.json):")
        for key, value in resolved.items():
            console.say(f"  {'*' if key in changed else ' '} {key} = {json.dumps(value)}")

    logging.getLogger("ignite").setLevel(logging.NOTSET if options.debug else logging.CRITICAL)  # it logs tracebacks
    if not options.quiet:
        _show_log()
    if options.estimate:
        return _estimate(options, plan, show, console)
    try:
        train(chosen_bundle(options), plan, on_stage=show, only_check=options.dry_run)
    except BratsMMError:
        if options.debug:
            logging.getLogger(__name__).exception("The training failed:")
        raise
    except KeyboardInterrupt:
        console.error("Interrupted. Finished epochs are kept. Add --set resume=true to continue.")
        return EXIT_INTERRUPTED
    if not options.dry_run:
        console.say(f"The checkpoints are in {options.output}.")
    console.document(trainings)
    return 0


def _estimate(options: argparse.Namespace, plan: "Plan", show: "OnStage", console: Console) -> int:
    """Print what the trainings need."""
    from brats_mm.training.estimate import estimate
    from brats_mm.training.estimate_text import estimate_text

    made = estimate(chosen_bundle(options), plan, on_stage=show)
    console.say(estimate_text(made))
    console.document(made)
    return 0


def _show_log() -> None:
    """Print the log of the training without those of other libraries."""
    import logging

    library = logging.getLogger("brats_mm")
    library.setLevel(logging.INFO)
    if not any(isinstance(handler, logging.StreamHandler) for handler in library.handlers):
        library.addHandler(logging.StreamHandler())


def _setting(word: str) -> tuple[str, Any]:
    """Parse NAME=VALUE, with the value as JSON if possible and as text otherwise."""
    name, equals, text = word.partition("=")
    if not equals or not name:
        message = f"Expected NAME=VALUE, such as epochs=100, got {word!r}."
        raise OptionError(message)
    try:
        return name, json.loads(text)
    except ValueError:
        return name, text
