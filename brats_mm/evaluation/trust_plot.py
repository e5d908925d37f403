"""Draw expected against true Dice as SVG, without a plotting library, so equal figures give equal files."""

from collections.abc import Mapping, Sequence

from brats_mm.domain.regions import REGIONS, Region

SIDE, MARGIN, GAP, FOOT = 200, 46, 28, 44
"""Side of a panel, left margin, gap between panels and foot, in pixels."""

TICKS = (0.0, 0.25, 0.5, 0.75, 1.0)
LIGHTS = (0.5, 0.75)
"""Expected Dice at which the grade changes."""

COLOURS = {Region.WT: "#2a7f3f", Region.TC: "#b3541e", Region.ET: "#3558a8"}
INK, FAINT = "#444", "#ccc"

Points = Sequence[tuple[float, float]]


def draw_reliability_svg(points: Mapping[Region, Points], means: Mapping[Region, Points]) -> str:
    """Draw one panel per region: a dot per segmentation, and the means of groups of equal size as a line.

    Args:
        points: expected and true Dice, 0 to 1, of each segmentation.
        means: mean expected and mean true Dice of each group, in order of expected Dice.
    """
    width = MARGIN + len(REGIONS) * (SIDE + GAP)
    height = FOOT + SIDE + 24
    panels = [
        _draw_panel(MARGIN + index * (SIDE + GAP), region, points.get(region, ()), means.get(region, ()))
        for index, region in enumerate(REGIONS)
    ]
    middle = 20 + SIDE // 2
    label = f'<text x="14" y="{middle}" transform="rotate(-90 14 {middle})" text-anchor="middle">true Dice</text>'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
            f'font-family="sans-serif" font-size="11" fill="{INK}" role="img" '
            'aria-label="Expected against true Dice by region">',
            '<rect width="100%" height="100%" fill="#fff"/>',
            label,
            *panels,
            "</svg>",
            "",
        ]
    )


def _draw_panel(left: int, region: Region, points: Points, means: Points) -> str:
    top, bottom = 20, 20 + SIDE

    def place(expected: float, true: float) -> tuple[str, str]:
        return f"{left + SIDE * expected:.1f}", f"{bottom - SIDE * true:.1f}"

    parts = [
        f'<text x="{left + SIDE / 2:g}" y="13" text-anchor="middle" font-weight="bold">{region.value.upper()}</text>'
    ]
    for tick in TICKS:
        x, y = place(tick, tick)
        parts.append(f'<text x="{x}" y="{bottom + 14}" text-anchor="middle">{tick:g}</text>')
        parts.append(f'<text x="{left - 5}" y="{float(y) + 4:g}" text-anchor="end">{tick:g}</text>')
    for light in LIGHTS:
        x, _ = place(light, 0.0)
        parts.append(f'<path d="M{x} {top}V{bottom}" stroke="{FAINT}" stroke-dasharray="3 3"/>')
    parts.append(f'<rect x="{left}" y="{top}" width="{SIDE}" height="{SIDE}" fill="none" stroke="{FAINT}"/>')
    parts.append(f'<path d="M{left} {bottom}L{left + SIDE} {top}" stroke="{FAINT}"/>')
    colour = COLOURS[region]
    dots = "".join("M{} {}h0".format(*place(*point)) for point in points)
    if dots:
        parts.append(f'<path d="{dots}" stroke="{colour}" stroke-width="4" stroke-linecap="round" opacity="0.3"/>')
    line = "L".join("{} {}".format(*place(*mean)) for mean in means)
    if line:
        parts.append(f'<path d="M{line}" stroke="{colour}" stroke-width="2" fill="none"/>')
    parts += ['<circle cx="{}" cy="{}" r="4" fill="{}"/>'.format(*place(*mean), colour) for mean in means]
    parts.append(f'<text x="{left + SIDE / 2:g}" y="{bottom + 32}" text-anchor="middle">expected Dice</text>')
    return "\n".join(parts)
