"""Geometry of the importance chart in pixels. The widget only fills rectangles and draws text."""

from __future__ import annotations

from collections.abc import Sequence as Several
from dataclasses import dataclass

from BratsMMLib.results import REGION_NAMES, REGIONS, Bar
from BratsMMLib.sequences import SEQUENCES

TINTS = {"wt": (111, 168, 220), "tc": (61, 120, 183), "et": (24, 74, 130)}
_LEFT, _RIGHT, _TOP = 64, 40, 24
_BAR_PX = 11


@dataclass(frozen=True)
class Block:
    """A filled rectangle."""

    x: int
    y: int
    width: int
    height: int
    colour: tuple[int, int, int]


@dataclass(frozen=True)
class Text:
    """A text at `x`, with its baseline at `y`."""

    x: int
    y: int
    text: str


@dataclass(frozen=True)
class Chart:
    """Everything to paint."""

    height: int
    blocks: tuple[Block, ...]
    texts: tuple[Text, ...]


def lay_out_bars(bars: Several[Bar], width: int, row: int) -> Chart:
    """Lay out one group per sequence and one bar per region, with a legend on top. Empty without bars.

    Args:
        bars: bars of all sequences and regions.
        width: width of the chart in pixels.
        row: height of a group in pixels.
    """
    if not bars:
        return Chart(0, (), ())
    blocks, texts = _legend(width)
    plot_width = width - _LEFT - _RIGHT
    for bar in bars:
        group = _TOP + row * SEQUENCES.index(bar.sequence)
        line = REGIONS.index(bar.region)
        top = group + 4 + line * (_BAR_PX + 2)
        if line == 0:
            texts.append(Text(2, group + row // 2 + 5, bar.sequence.label))
            if bar.share is None:
                texts.append(Text(_LEFT + 4, group + row // 2 + 5, "missing"))
        if bar.share is not None:
            length = max(1, round(bar.share * plot_width))
            blocks.append(Block(_LEFT, top, length, _BAR_PX, TINTS[bar.region]))
            texts.append(Text(_LEFT + length + 4, top + _BAR_PX - 1, f"{bar.share:.2f}"))
    return Chart(_TOP + row * len(SEQUENCES), tuple(blocks), tuple(texts))


def _legend(width: int) -> tuple[list[Block], list[Text]]:
    step = width // len(REGIONS)
    blocks = [Block(2 + number * step, 5, 10, 10, TINTS[region]) for number, region in enumerate(REGIONS)]
    texts = [Text(16 + number * step, 15, REGION_NAMES[region]) for number, region in enumerate(REGIONS)]
    return blocks, texts
