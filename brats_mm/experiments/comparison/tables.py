"""Tables of a comparison as CSV and Parquet, and its Markdown page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brats_mm.domain.availability import describe, format_subset
from brats_mm.domain.regions import Region
from brats_mm.evaluation.published import PAPER_ORDER, REGION_ORDER
from brats_mm.evaluation.tables import RowWriter, list_columns
from brats_mm.outputs.markdown import NOTHING, format_table
from brats_mm.outputs.parquet import write_parquet

FRESH = "random weights"
TRAINED_HERE = "experts trained in the experiment"


@dataclass(frozen=True)
class RunRow:
    """A row of `runs.csv`: one method, seed and region.

    Attributes:
        method, seed, region: identity of the row.
        dice, dice_et500: mean over cases, then subsets, 0 to 1, raw and with the rule for small ET.
        dice_all_four, dice_single: Dice with all sequences, and mean over the four single sequences.
        ece: mean over cases, then subsets, 0 to 1.
        counterintuitive: fraction of nested pairs in which more sequences scored worse.
        parameters: number of parameters.
        macs_all_four, macs_one: multiply-accumulates of a window with all sequences and with one.
        epochs: epochs of the method's own training.
        training_s: seconds of training including its experts.
        inference_s: seconds per case with all its sequences, without reading and writing.
    """

    method: str
    seed: int
    region: str
    dice: float
    dice_et500: float
    dice_all_four: float
    dice_single: float
    ece: float
    counterintuitive: float
    parameters: int
    macs_all_four: int
    macs_one: int
    epochs: int
    training_s: float
    inference_s: float


@dataclass(frozen=True)
class SetRow:
    """A row of `sets.csv`: the mean raw Dice over cases of one subset, 0 to 1."""

    method: str
    seed: int
    subset: str
    region: str
    dice: float


def write_table(
    path: Path, rows: Sequence[RunRow] | Sequence[SetRow], kind: type[RunRow] | type[SetRow], *, parquet: bool
) -> None:
    """Write rows as CSV with empty cells for missing values, and optionally as Parquet (needs pyarrow)."""
    with RowWriter(path, kind) as table_file:
        table_file.write(rows)
    if parquet:
        write_parquet(path.with_suffix(".parquet"), list_columns(kind), map(vars, rows))


def render_experiment_markdown(document: Mapping[str, Any]) -> str:
    """Render a comparison's document as Markdown."""
    methods = {name: method for name, method in document["methods"].items() if method["seeds"]}
    parts = [
        "# Comparison of methods",
        document["disclaimer"],
        _describe_protocol(document),
        _list_failed(document),
        "## Dice, calibration and order",
        "In percent, averaged over cases, then subsets, then seeds (± standard deviation between seeds). "
        "CR: counter-intuitive rate, the fraction of nested pairs of subsets in which more sequences scored worse.",
        _render_scores(methods),
        "## Cost",
        f"Multiply-accumulates are counted for a window of {document['counted_window']} voxels per side, with all four "
        "sequences and with one. Training time is in minutes and includes experts trained in the experiment. Epochs "
        "are those of the method after its experts. Inference time is in seconds per case with all its sequences, the "
        f"minimum over {document['timed_cases']} cases, without reading and writing.",
        _render_costs(methods),
        f"## Differences from {_look_up_title(document, document['reference'])}",
        f"Mean Dice over subsets, percentage points; 95 % bootstrap interval over cases. {document['test']}.",
        _render_tests(document),
        "## Dice of each subset, in percent",
        *(_render_sets(methods, region) for region in REGION_ORDER),
        "## The methods",
        "\n".join(
            f"- **{method['title']}** (`{name}`): {method['description'] or NOTHING}"
            for name, method in methods.items()
        ),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _describe_protocol(document: Mapping[str, Any]) -> str:
    budget = document["budget"]
    spent = f"{budget['epochs']} epochs" if budget["epochs"] else f"{budget['minutes']:g} minutes"
    seeds = ", ".join(map(str, document["seeds"]))
    return (
        f"Budget: {spent} per method and seed. {_describe_starts(document)} "
        f"Seeds: {seeds}. Evaluated on the {document['cases']} cases of the section "
        f"`{document['section']}` of {document['datalist']['name']} (SHA-256 {document['datalist']['sha256'][:12]}), "
        "with the last weights and without calibration, so no choice depends on the evaluation cases."
    )


def _describe_starts(document: Mapping[str, Any]) -> str:
    """Describe the initial weights of the methods, grouped."""
    grouped: dict[str, list[str]] = {}
    for method in document["methods"].values():
        grouped.setdefault(method["starts_from"], []).append(method["title"])
    remarks = {
        FRESH: "",
        TRAINED_HERE: f", which take {document['budget']['expert_share']:.1%} of the budget",
    }
    elsewhere = ", whose training is not included in the cost"
    return " ".join(
        f"Start from {start}{remarks.get(start, elsewhere)}: {', '.join(titles)}." for start, titles in grouped.items()
    )


def _list_failed(document: Mapping[str, Any]) -> str:
    return "\n".join(f"- Failed: {name}. {reason}" for name, reason in document["failed"].items())


def _render_scores(methods: Mapping[str, Any]) -> str:
    names = {"dice": "", "dice_et500": " 500", "ece": " ECE", "counterintuitive": " CR"}
    columns = [("dice", region) for region in REGION_ORDER]
    columns.insert(1, ("dice_et500", Region.ET))
    columns += [(name, region) for name in ("ece", "counterintuitive") for region in REGION_ORDER]
    head = ["method", "seeds", *(f"{region.value.upper()}{names[name]}" for name, region in columns)]
    rows = [
        [
            method["title"],
            str(len(method["seeds"])),
            *(_format_percent(method["regions"][region.value][name]) for name, region in columns),
        ]
        for method in methods.values()
    ]
    return format_table(head, rows)


def _render_costs(methods: Mapping[str, Any]) -> str:
    head = ["method", "parameters, M", "GMAC, four", "GMAC, one", "training, min", "epochs", "inference, s"]
    scales = {"parameters": 1e-6, "macs_all_four": 1e-9, "macs_one": 1e-9, "training_s": 1 / 60, "epochs": 1.0}
    rows = []
    for method in methods.values():
        figures = method["regions"][Region.WT.value]
        cells = [f"{scale * figures[name]['mean']:.1f}" for name, scale in scales.items()]
        rows.append([method["title"], *cells, f"{figures['inference_s']['mean']:.2f}"])
    return format_table(head, rows)


def _render_tests(document: Mapping[str, Any]) -> str:
    rows = [
        [_look_up_title(document, name), *(_format_difference(regions[region.value]) for region in REGION_ORDER)]
        for name, regions in document["tests"].items()
    ]
    return (
        format_table(["method", *(region.value.upper() for region in REGION_ORDER)], rows)
        if rows
        else ("There is nothing to compare.")
    )


def _format_difference(method: Mapping[str, Any]) -> str:
    if method["difference"] is None:
        return NOTHING
    low, high = 100 * method["low"], 100 * method["high"]
    return f"{100 * method['difference']:+.2f} ({low:+.2f} to {high:+.2f}; p {method['p_holm']:.2g})"


def _render_sets(methods: Mapping[str, Any], region: Region) -> str:
    rows = []
    for subset in PAPER_ORDER:
        scores = [method["sets"].get(format_subset(subset), {}).get(region.value) for method in methods.values()]
        rows.append([describe(subset), *(NOTHING if dice is None else f"{100 * dice:.1f}" for dice in scores)])
    return format_table([region.value.upper(), *(method["title"] for method in methods.values())], rows)


def _look_up_title(document: Mapping[str, Any], name: str) -> str:
    return str(document["methods"][name]["title"])


def _format_percent(figure: Mapping[str, float | None]) -> str:
    if figure["mean"] is None:
        return NOTHING
    spread = "" if figure["std"] is None else f" ± {100 * figure['std']:.2f}"
    return f"{100 * figure['mean']:.2f}{spread}"
