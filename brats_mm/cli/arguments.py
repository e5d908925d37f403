"""The command line's options. No heavy import, so that `--help` answers at once."""

import argparse
from pathlib import Path

from brats_mm import __version__
from brats_mm.cli.cohort_arguments import add_cohort
from brats_mm.cli.dicom_arguments import add_dicom_options
from brats_mm.cli.inspect_input import add_inspect, add_study
from brats_mm.cli.output_arguments import add_output_options
from brats_mm.cli.raw_arguments import add_raw_options
from brats_mm.cli.report_arguments import add_card, add_report
from brats_mm.cli.serve_arguments import add_serve, add_token
from brats_mm.cli.study import add_study_of_methods
from brats_mm.domain.disclaimer import NOT_FOR_DIAGNOSIS
from brats_mm.domain.modality import MODALITIES
from brats_mm.domain.regions import LabelConvention


class _Formatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Keeps the examples' lines, and shows defaults."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.default in (None, False):
            return action.help
        return super()._get_help_string(action)


def make_parser() -> argparse.ArgumentParser:
    """The parser of `brats-mm`."""
    parser = argparse.ArgumentParser(
        prog="brats-mm",
        description="Segment brain tumours on MRI with whatever of T1, T1ce, T2 and FLAIR is there.\n"
        + NOT_FOR_DIAGNOSIS,
        epilog="examples:\n  brats-mm demo -o demo\n  brats-mm segment CASE_FOLDER -o result\n"
        "  brats-mm segment --t1ce a.nii.gz --flair b.nii.gz -o result",
        formatter_class=_Formatter,
    )
    parser.add_argument("--version", action="version", version=f"brats-mm {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    _add_segment(commands)
    add_cohort(commands, _Formatter, _add_model_options, _add_talk_options)
    add_inspect(commands, _Formatter)
    _add_demo(commands)
    _add_datalist(commands)
    _add_evaluate(commands)
    _add_compare(commands)
    _add_pack(commands)
    add_study_of_methods(commands, _Formatter)
    _add_archive(commands)
    add_report(commands, _Formatter)
    add_card(commands, _Formatter)
    _add_doctor(commands)
    _add_info(commands)
    add_serve(commands, _Formatter, _add_model_options)
    add_token(commands, _Formatter)
    return parser


def _add_segment(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser(
        "segment",
        help="segment one case with the sequences it has",
        description="Segment one case with the sequences it has. Give a folder or zip, whose sequences are found by "
        "name or by DICOM header, or name the files.\n" + NOT_FOR_DIAGNOSIS,
        epilog="examples:\n  brats-mm segment CASE_FOLDER -o result\n"
        "  brats-mm segment --t1ce a.nii.gz --flair b.nii.gz -o result --probabilities\n"
        "  brats-mm segment DICOM_FOLDER --t1ce 83.17.4 -o result",
        formatter_class=_Formatter,
    )
    parser.add_argument("case", nargs="?", type=Path, metavar="CASE", help="folder or zip of one case, or DICOM study")
    for modality in MODALITIES:
        parser.add_argument(
            f"--{modality.value}", type=Path, metavar="FILE", help=f"{modality.label} volume, or series of the study"
        )
    add_study(parser)
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="OUT", help="folder for the results")
    add_output_options(parser)
    parser.add_argument("--overwrite", action="store_true", help="replace results that are already in OUT")
    add_raw_options(parser)
    add_dicom_options(parser)
    _add_model_options(parser)
    _add_talk_options(parser)


def _add_demo(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser(
        "demo",
        help="make a synthetic tumour head, drop sequences, segment the rest",
        description="Make a synthetic tumour head on the spot, drop sequences from it, segment what is left, and write "
        "every output and a picture.\n" + NOT_FOR_DIAGNOSIS,
        epilog="example:\n  brats-mm demo -o demo --drop t1 t2",
        formatter_class=_Formatter,
    )
    parser.add_argument("-o", "--output", type=Path, default=Path("demo"), metavar="OUT", help="folder for all of it")
    parser.add_argument(
        "--drop",
        nargs="*",
        choices=[modality.value for modality in MODALITIES],
        default=["t1", "t2"],
        metavar="SEQUENCE",
        help="sequences to leave out: any of t1 t1ce t2 flair, but not all",
    )
    parser.add_argument("--seed", type=int, default=7, help="which head to make")
    _add_model_options(parser)
    _add_talk_options(parser)


def _add_datalist(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser(
        "datalist",
        help="list a folder's cases for training and validation",
        description="List a folder's cases for training and validation, as JSON that training and evaluation read. The "
        "folder holds a sub-folder a case, as BraTS has them, or has nnU-Net's raw layout. The scans of one patient "
        "stay together.",
        epilog="examples:\n  brats-mm datalist CASES -o CASES/datalist.json --validation 0.2 --seed 1\n"
        "  brats-mm datalist CASES -o CASES/datalist.json --split train.txt val.txt test.txt",
        formatter_class=_Formatter,
    )
    parser.add_argument("dataset", type=Path, metavar="FOLDER", help="folder of cases; the list's paths start there")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="the list to write, JSON")
    parser.add_argument(
        "--validation",
        nargs="*",
        default=[],
        metavar="CASE",
        help="cases for validation, or a share of the patients such as 0.2, which it is if nothing is said",
    )
    parser.add_argument("--folds", type=int, default=0, metavar="K", help="write K lists for cross-validation")
    parser.add_argument(
        "--split",
        nargs="*",
        type=Path,
        default=[],
        metavar="FILE",
        help="text files of names: training, validation, testing",
    )
    parser.add_argument("--seed", type=int, default=0, help="of a random share or of folds")
    parser.add_argument("--overwrite", action="store_true", help="replace lists that are there")
    _add_talk_options(parser)


def _add_evaluate(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser(
        "evaluate",
        help="score labelled cases over the 15 subsets of sequences",
        description="Score labelled cases over the 15 subsets of sequences: Dice, HD95, calibration, counter-intuitive "
        "rate, uncertainty against error, gate weights; as CSV, JSON, Markdown and plots. A stopped evaluation keeps "
        "what it has done, and --resume goes on from there.",
        epilog="examples:\n  brats-mm evaluate CASES -o evaluation\n"
        "  brats-mm evaluate datalist.json --dataset-dir CASES --section validation -o evaluation\n"
        "  brats-mm evaluate CASES -o evaluation --resume",
        formatter_class=_Formatter,
    )
    parser.add_argument("dataset", type=Path, metavar="DATALIST", help="JSON list of cases, or folder of case folders")
    parser.add_argument("--dataset-dir", type=Path, metavar="DIR", help="where the list's paths start (its own folder)")
    parser.add_argument("--section", default="validation", help="section of the list")
    parser.add_argument("--names", nargs="*", default=[], metavar="CASE", help="only these cases")
    parser.add_argument(
        "--labels", choices=[c.value for c in LabelConvention], help="of the true labels, if not told by them"
    )
    parser.add_argument(
        "--empty", choices=("brats", "skip"), default="brats", help="empty region: score 1 or 0, or skip"
    )
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="OUT", help="folder for tables and plots")
    parser.add_argument(
        "--resume", action="store_true", help="go on where a stopped evaluation in OUT was; start where there is none"
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace an evaluation in OUT; without --resume, a stopped one too"
    )
    parser.add_argument("--parquet", action="store_true", help="also write the tables as Parquet (needs pyarrow)")
    parser.add_argument("--no-plots", action="store_true", help="draw no plots")
    _add_model_options(parser)
    _add_talk_options(parser)


def _add_compare(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser(
        "compare",
        help="compare two evaluations of the same cases",
        description="Compare evaluation B with evaluation A, paired by case: differences, bootstrap intervals, tests.",
        epilog="example:\n  brats-mm compare evaluation_a evaluation_b -o comparison",
        formatter_class=_Formatter,
    )
    parser.add_argument("first", type=Path, metavar="A", help="folder of an evaluation")
    parser.add_argument("second", type=Path, metavar="B", help="folder of another one")
    parser.add_argument("-o", "--output", type=Path, metavar="OUT", help="folder for the comparison")
    _add_talk_options(parser)


def _add_pack(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser(
        "pack",
        help="make a bundle of a trained checkpoint",
        description="Make a bundle of a trained checkpoint: weights in half precision with their hash, the configs "
        "that they were trained with, and a model card to complete. --calibrate chooses a constant for each region's "
        "logits on labelled cases.",
        epilog="example:\n  brats-mm pack models/model.pt -o my_segmentation --calibrate CASES/datalist.json",
        formatter_class=_Formatter,
    )
    parser.add_argument(
        "checkpoints",
        nargs="+",
        type=Path,
        metavar="CHECKPOINT",
        help="model.pt of a training; of several, one trained on from the other, the mean of each weight",
    )
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="OUT", help="folder for the bundle")
    parser.add_argument("--bundle", metavar="DIR", help="bundle whose configs to take instead of the one installed")
    parser.add_argument(
        "--config",
        nargs="*",
        type=Path,
        default=[],
        metavar="FILE",
        help="configs that the training had over train.json, such as configs/methods/mmp.json",
    )
    parser.add_argument("--bundle-version", default="0.1.0", metavar="VERSION", help="of the new bundle")
    parser.add_argument("--calibrate", type=Path, metavar="DATALIST", help="labelled cases that choose the constants")
    way = parser.add_mutually_exclusive_group()
    way.add_argument(
        "--per-subset",
        action="store_true",
        help="with --calibrate: an offset and a temperature for each subset, kept beside the weights",
    )
    way.add_argument(
        "--certainty",
        action="store_true",
        help="with --calibrate: how sure to be inside the outlines, for each subset; the outlines stay",
    )
    parser.add_argument("--dataset-dir", type=Path, metavar="DIR", help="where the list's paths start (its own folder)")
    parser.add_argument("--section", default="validation", help="section of the list")
    _add_talk_options(parser)


def _add_archive(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser(
        "archive",
        help="zip a bundle to publish it",
        description="Zip a bundle to publish it: NAME_vVERSION.zip with the hash of every file inside, its own hash "
        "beside it. The same bundle gives the same bytes.",
        epilog="example:\n  brats-mm archive my_segmentation -o release",
        formatter_class=_Formatter,
    )
    parser.add_argument("bundle", nargs="?", metavar="BUNDLE", help="its folder; the one installed if none is named")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="folder for the archive")
    parser.add_argument("--overwrite", action="store_true", help="replace an archive that is there")
    _add_talk_options(parser)


def _add_doctor(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser(
        "doctor",
        help="check this installation: versions, devices, weights, disk",
        description="Check this installation, and say what to do about what is wrong. Exit code 1 where it fails.",
        epilog="example:\n  brats-mm doctor --json",
        formatter_class=_Formatter,
    )
    parser.add_argument("--bundle", metavar="DIR", help="model bundle to check instead of the one installed")
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def _add_info(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser(
        "info",
        help="what this installation knows: model, sequences, regions, labels",
        description="Show the model, the sequences and the names they go by, the regions, and the label values.",
        epilog="example:\n  brats-mm info --json",
        formatter_class=_Formatter,
    )
    parser.add_argument("--bundle", metavar="DIR", help="model bundle to describe instead of the one installed")
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def _add_model_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("model")
    group.add_argument("--device", default="auto", metavar="DEVICE", help="auto, cpu, cuda or cuda:N")
    group.add_argument("--bundle", metavar="DIR", help="model bundle to use instead of the one installed")
    group.add_argument(
        "--window", type=int, default=128, metavar="VOXELS", help="window side, a multiple of 32 from 64"
    )
    group.add_argument("--overlap", type=float, default=0.5, metavar="SHARE", help="overlap of windows, 0 to 0.9")
    group.add_argument(
        "--backend",
        choices=("auto", "torch", "openvino"),
        default="auto",
        help="what runs the network; auto is openvino on a CPU where it is installed",
    )
    point = group.add_mutually_exclusive_group()
    point.add_argument(
        "--fast",
        dest="point",
        action="store_const",
        const="fast",
        default="default",
        help="cut the margin around the brain closer: four fifths of the time, slightly different outlines",
    )
    point.add_argument(
        "--best",
        dest="point",
        action="store_const",
        const="best",
        help="average with the mirrored brain: twice the time (no better on ten validation cases)",
    )


def _add_talk_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("output on the terminal")
    group.add_argument("-q", "--quiet", action="store_true", help="say nothing but warnings and errors")
    group.add_argument("--json", action="store_true", help="print the report as one JSON document")
