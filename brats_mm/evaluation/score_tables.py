"""Write the statistics of evaluations as CSV and LaTeX."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from brats_mm.domain.availability import format_subset
from brats_mm.domain.counting import format_count
from brats_mm.errors import OutputError
from brats_mm.evaluation.published import PAPER_ORDER, REGION_ORDER
from brats_mm.evaluation.statistics import Statistic, compute_statistics
from brats_mm.evaluation.subset_groups import GROUPS, NAMES
from brats_mm.evaluation.tables import IN_MILLIMETRES, RowWriter, read_case_rows
from brats_mm.outputs.folder import OutputFolder
from brats_mm.outputs.latex import escape, format_row, format_tabular

_ROWS = (*(format_subset(subset) for subset in PAPER_ORDER), *GROUPS)


def render_score_table(statistics: Iterable[Statistic], score: str, *, rule: str = "raw") -> str:
    """Render one score: mean, standard deviation and confidence interval by subset and region.

    Args:
        statistics: statistics of the evaluations.
        score: score to show. Scores from 0 to 1 are shown in percent.
        rule: rule for small enhancing tumours, `raw` or `et500`.
    """
    by_key = {
        (statistic.evaluation, statistic.sequences, statistic.region): statistic
        for statistic in statistics
        if (statistic.score, statistic.rule) == (score, rule)
    }
    scale, unit = (1.0, "mm") if score in IN_MILLIMETRES else (100.0, r"\%")
    blocks = []
    for name in dict.fromkeys(name for name, *_ in by_key):
        cases = max(statistic.cases for key, statistic in by_key.items() if key[0] == name)
        lines = [rf"\multicolumn{{4}}{{l}}{{{escape(name)}, {format_count(cases, 'case')}}} \\"]
        for group in _ROWS:
            cells = [by_key.get((name, group, region.value)) for region in REGION_ORDER]
            if any(cells):
                lines.append(format_row([NAMES[group], *(_format_cell(statistic, scale) for statistic in cells)]))
        blocks.append("\n".join(lines))
    caption = (
        f"{escape(score)} in {unit}: mean $\\pm$ standard deviation over cases [95 \\% bootstrap interval of the mean]"
    )
    return format_tabular(
        "lrrr", " & ".join(["sequences", *(region.value.upper() for region in REGION_ORDER)]), blocks, caption
    )


def _format_cell(statistic: Statistic | None, scale: float) -> str:
    if statistic is None:
        return "--"
    spread = rf" $\pm$ {scale * statistic.sd:.1f}" if statistic.cases > 1 else ""
    return f"{scale * statistic.mean:.1f}{spread} [{scale * statistic.low:.1f}, {scale * statistic.high:.1f}]"


STATISTICS = "statistics.csv"


def write_score_tables(
    folders: Sequence[Path],
    out: Path,
    scores: Sequence[str],
    *,
    rule: str = "raw",
    overwrite: bool = False,
) -> tuple[tuple[Path, ...], list[Statistic]]:
    """Write `statistics.csv`, and `<score>.tex` for each score.

    Args:
        folders: folders that `evaluate` or `pool` wrote. Tables show their names.
        out: folder for the tables.
        scores: scores to include.
        rule: rule for small enhancing tumours in the LaTeX tables. The CSV has both.
        overwrite: replace existing tables.

    Returns:
        The files, and the statistics.

    Raises:
        OptionError: a folder contains no evaluation, or a score is unknown.
        OutputError: tables exist or cannot be written.
    """
    names = [STATISTICS, *(f"{score}.tex" for score in scores)]
    existing = [name for name in names if (out / name).exists()]
    if existing and not overwrite:
        raise OutputError(f"{out / existing[0]} already exists. Choose another folder, or add --overwrite.")
    rows = [row for folder in folders for row in compute_statistics(folder.name, read_case_rows(folder), scores)]
    with OutputFolder(out) as results:
        with RowWriter(results.staged(STATISTICS), Statistic) as table:
            table.write(rows)
        for score in scores:
            results.staged(f"{score}.tex").write_text(render_score_table(rows, score, rule=rule), encoding="utf-8")
    return tuple(out / name for name in names), rows
