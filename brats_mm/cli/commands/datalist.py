"""`brats-mm datalist`: list the cases of a folder for training and validation."""

import argparse
from dataclasses import asdict
from pathlib import Path

from brats_mm.cli.command import Commands, add_command
from brats_mm.cli.options.common import add_terminal_options
from brats_mm.cli.output import Console
from brats_mm.domain.label_scheme import SCHEMES, LabelScheme
from brats_mm.domain.number_range import FOLDS, SEED, check_numbers


def add(commands: Commands) -> None:
    """Add `brats-mm datalist`."""
    parser = add_command(
        commands,
        "datalist",
        run,
        help="list the cases of a folder for training and validation",
        description="List the cases of a folder for training and validation, as JSON for training and evaluation. The "
        "folder has one subfolder per case as in BraTS, or nnU-Net's raw layout. Scans of one patient stay in one "
        "section.",
        epilog="examples:\n  brats-mm datalist CASES -o CASES/datalist.json --validation 0.2 --seed 1\n"
        "  brats-mm datalist CASES -o CASES/datalist.json --split train.txt val.txt test.txt\n"
        "  brats-mm datalist CASES -o CASES/datalist.json --split splits_final.json\n"
        "  brats-mm datalist CASES -o CASES/few_t1ce.json --keep t1ce=0.1",
    )
    parser.add_argument(
        "dataset", type=Path, metavar="FOLDER", help="folder of cases, which the list's paths are relative to"
    )
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="JSON list to write")
    parser.add_argument(
        "--validation",
        nargs="*",
        default=[],
        metavar="CASE",
        help="names of validation cases, or a fraction of the patients such as 0.2 (default: 0.2)",
    )
    parser.add_argument("--folds", type=int, metavar="K", help="write K lists for cross-validation")
    parser.add_argument(
        "--split",
        nargs="*",
        type=Path,
        default=[],
        metavar="FILE",
        help="text files with the names of training, validation and testing cases, or nnU-Net's splits_final.json",
    )
    parser.add_argument("--seed", type=int, default=0, help="random seed for the split, the folds and --keep")
    parser.add_argument(
        "--labels", metavar="SCHEME", help=f"label scheme of the cases (default: detect), one of {SCHEMES}"
    )
    parser.add_argument(
        "--keep",
        nargs="*",
        default=[],
        metavar="SEQUENCE=SHARE",
        help="keep a sequence in this fraction of the training cases, such as t1ce=0.1, and leave it out of the others",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace existing lists")
    add_terminal_options(parser)


def run(options: argparse.Namespace, console: Console) -> int:
    """Run `brats-mm datalist` and return its exit code."""
    check_numbers(options, {"folds": FOLDS, "seed": SEED})
    from brats_mm.data.training_gaps import parse_shares
    from brats_mm.pipeline.datalists import Division, write_datalists

    division = Division(tuple(options.validation), options.folds or 0, tuple(options.split), options.seed)
    kept_shares = parse_shares(options.keep)
    datalists = write_datalists(
        options.dataset,
        options.output,
        division,
        label_scheme=options.labels,
        kept_shares=kept_shares,
        overwrite=options.overwrite,
    )
    for scheme in datalists[0].schemes:
        console.say(f"Label scheme {scheme}. {LabelScheme(scheme).note}".strip())
    for datalist in datalists:
        counts = ", ".join(f"{count} for {section}" for section, count in datalist.counts.items())
        console.say(f"{datalist.path}: {counts}.")
        for modality in kept_shares:
            kept = datalist.training_sequences[modality.value]
            console.say(f"  {modality.label} in {kept} of {datalist.counts['training']} training cases.")
    console.document([{**asdict(datalist), "path": str(datalist.path)} for datalist in datalists])
    return 0
