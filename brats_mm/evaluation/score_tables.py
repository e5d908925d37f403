"""Write the statistics of evaluations as CSV and LaTeX."""

from collections.abc import Sequence
from pathlib import Path

from brats_mm.errors import OutputError
from brats_mm.evaluation.score_latex import score_table
from brats_mm.evaluation.statistics import Statistic, statistics, write_csv
from brats_mm.evaluation.tables import read_case_rows
from brats_mm.outputs.folder import OutputFolder

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
        OptionError: a folder holds no evaluation, or a score is unknown.
        OutputError: tables exist or cannot be written.
    """
    names = [STATISTICS, *(f"{score}.tex" for score in scores)]
    existing = [name for name in names if (out / name).exists()]
    if existing and not overwrite:
        raise OutputError(f"{out / existing[0]} already exists. Choose another folder, or add --overwrite.")
    rows = [row for folder in folders for row in statistics(folder.name, read_case_rows(folder), scores)]
    with OutputFolder(out) as results:
        write_csv(results.staged(STATISTICS), rows)
        for score in scores:
            results.staged(f"{score}.tex").write_text(score_table(rows, score, rule=rule), encoding="utf-8")
    return tuple(out / name for name in names), rows
