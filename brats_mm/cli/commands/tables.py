"""`brats-mm tables`: tables of evaluations for a paper, as CSV and LaTeX."""

import argparse
from dataclasses import asdict
from pathlib import Path

from brats_mm.cli.command import Commands, add_command
from brats_mm.cli.options.common import add_terminal_options
from brats_mm.cli.output import Console
from brats_mm.errors import OptionError


def add(commands: Commands) -> None:
    """Add `brats-mm tables`."""
    parser = add_command(
        commands,
        "tables",
        run,
        help="write tables of evaluations for a paper, as CSV and LaTeX",
        description="Write mean, standard deviation and 95 % confidence interval over cases for each subset of "
        "sequences, as CSV and as LaTeX for the package booktabs. --pool first joins the evaluations of the folds of "
        "a cross-validation into one.",
        epilog="examples:\n  brats-mm tables evaluation -o tables\n"
        "  brats-mm tables ours nnunet -o tables --score dice hd95_mm\n"
        "  brats-mm tables fold0 fold1 fold2 -o tables --pool pooled",
    )
    parser.add_argument("evaluations", nargs="+", type=Path, metavar="EVALUATION", help="folder of an evaluation")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="OUT", help="folder for the tables")
    parser.add_argument(
        "--score", nargs="+", default=["dice", "hd95_mm"], metavar="NAME", help="scores, as the columns of cases.csv"
    )
    parser.add_argument(
        "--rule", choices=("raw", "et500"), default="raw", help="rule for small enhancing tumours in the LaTeX tables"
    )
    parser.add_argument(
        "--pool", type=Path, metavar="FOLDER", help="join evaluations of different cases into this evaluation first"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace existing tables and a pooled evaluation")
    add_terminal_options(parser, "all statistics as one JSON document")


def run(options: argparse.Namespace, console: Console) -> int:
    """Run `brats-mm tables` and return its exit code."""
    from brats_mm.evaluation.pool import pool
    from brats_mm.evaluation.score_tables import write_score_tables
    from brats_mm.evaluation.tables import to_plain_document

    folders = [folder.resolve() for folder in options.evaluations]
    duplicates = {
        folder.name for folder in folders if [other_folder.name for other_folder in folders].count(folder.name) > 1
    }
    if options.pool is not None:
        pool(folders, options.pool, overwrite=options.overwrite)
        folders = [options.pool]
    elif duplicates:
        raise OptionError(
            f"Several evaluations have the name {', '.join(sorted(duplicates))}. Rename a folder, because tables "
            "show the names."
        )
    paths, rows = write_score_tables(
        folders, options.output, options.score, rule=options.rule, overwrite=options.overwrite
    )
    for path in paths:
        console.say(f"Wrote {path}.")
    console.document(to_plain_document([asdict(row) for row in rows]))
    return 0
