"""LaTeX table of one score of one or more evaluations, by subset and region."""

from collections.abc import Iterable

from brats_mm.domain.availability import SUBSETS, describe, subset_name
from brats_mm.evaluation.comparison_markdown import IN_MILLIMETRES
from brats_mm.evaluation.latex import escape, row, tabular
from brats_mm.evaluation.published import PAPER_ORDER, REGION_ORDER
from brats_mm.evaluation.statistics import Statistic

_GROUPS = {
    "all_sets": "all subsets",
    "full_set": "all four sequences",
    "single_sequences": "single sequences",
    "with_t1ce": "subsets with T1ce",
    "without_t1ce": "subsets without T1ce",
}
NAMES = {**{subset_name(subset): describe(subset) for subset in SUBSETS}, **_GROUPS}
_ROWS = (*(subset_name(subset) for subset in PAPER_ORDER), *_GROUPS)


def score_table(statistics: Iterable[Statistic], score: str, *, rule: str = "raw") -> str:
    """Render one score: mean, standard deviation and confidence interval by subset and region.

    Args:
        statistics: statistics of the evaluations.
        score: score to show. Shares are in percent.
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
        lines = [rf"\multicolumn{{4}}{{l}}{{{escape(name)}, {cases} cases}} \\"]
        for group in _ROWS:
            cells = [by_key.get((name, group, region.value)) for region in REGION_ORDER]
            if any(cells):
                lines.append(row([NAMES[group], *(_cell(statistic, scale) for statistic in cells)]))
        blocks.append("\n".join(lines))
    caption = (
        f"{escape(score)} in {unit}: mean $\\pm$ standard deviation over cases [95 \\% bootstrap interval of the mean]"
    )
    return tabular(
        "lrrr", " & ".join(["sequences", *(region.value.upper() for region in REGION_ORDER)]), blocks, caption
    )


def _cell(statistic: Statistic | None, scale: float) -> str:
    if statistic is None:
        return "--"
    spread = rf" $\pm$ {scale * statistic.sd:.1f}" if statistic.cases > 1 else ""
    return f"{scale * statistic.mean:.1f}{spread} [{scale * statistic.low:.1f}, {scale * statistic.high:.1f}]"
