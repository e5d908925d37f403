"""Published results for BraTS with missing sequences: Dice in percent.

Each row names its protocol. Do not compare rows of different protocols: the split, the rule for small enhancing tumours
and the policy for empty regions change ET by several points. No row was scored by this software. The source states if a
paper's table is quoted second-hand. The numbers are in `published.json`.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from brats_mm.domain.availability import ALL_AVAILABLE, Availability
from brats_mm.domain.modality import Modality
from brats_mm.domain.regions import Region

_T1, _T1CE, _T2, _FLAIR = Modality

PAPER_ORDER: tuple[Availability, ...] = tuple(
    frozenset(subset)
    for subset in (
        (_T2,),
        (_T1CE,),
        (_T1,),
        (_FLAIR,),
        (_T1CE, _T2),
        (_T1, _T1CE),
        (_FLAIR, _T1),
        (_T1, _T2),
        (_FLAIR, _T2),
        (_FLAIR, _T1CE),
        (_FLAIR, _T1, _T1CE),
        (_FLAIR, _T1, _T2),
        (_FLAIR, _T1CE, _T2),
        (_T1, _T1CE, _T2),
        ALL_AVAILABLE,
    )
)
"""The 15 subsets in the order of RFNet's tables."""

REGION_ORDER = (Region.ET, Region.TC, Region.WT)
"""The regions in the order of the papers' columns."""


class Protocol(str, Enum):
    """Cases and scoring of a published row."""

    OFFICIAL_2018 = "BraTS 2018, 66 validation cases, official server (closed)"
    HOLD_OUT_2018 = "BraTS 2018, 'validation set' of an ablation, probably 57 held-out cases of the 285, no ET rule"
    THREE_FOLD_2018 = "BraTS 2018, three splits 199/29/57"
    FOLD_3_2018 = "BraTS 2018, lists equal to the third of the splits 199/29/57"
    OWN_2018 = "BraTS 2018, the authors' own split"
    DEDICATED_2018 = "BraTS 2018, own split, one model per subset"
    UNKNOWN_2018 = "BraTS 2018, split not stated"
    SPLIT_2020 = "BraTS 2020, split 219/50/100"
    DEDICATED_2020 = "BraTS 2020, split 219/50/100, one model per subset"
    SPLIT_2023 = "BraTS 2023, 1,251 cases split 70/10/20"
    SPLIT_2024 = "BraTS 2024, 1,350 cases"


@dataclass(frozen=True)
class PublishedMean:
    """A method's Dice in percent, averaged over the 15 subsets."""

    method: str
    protocol: Protocol
    et: float
    tc: float
    wt: float
    source: str


@dataclass(frozen=True)
class PublishedSets:
    """A method's Dice in percent for each of the 15 subsets, in `PAPER_ORDER`."""

    method: str
    protocol: Protocol
    dice: Mapping[Region, tuple[float, ...]]
    source: str

    def value(self, subset: Availability, region: Region) -> float:
        """Return the Dice in percent of one subset and region."""
        return self.dice[region][PAPER_ORDER.index(subset)]


_DATA: Mapping[str, Any] = json.loads(Path(__file__).with_suffix(".json").read_text("utf-8"))


def _map_regions(values: Sequence[float]) -> dict[Region, float]:
    return dict(zip(REGION_ORDER, values, strict=True))


def _parse_sets(table: Mapping[str, Any]) -> list[PublishedSets]:
    methods: dict[str, dict[Region, tuple[float, ...]]] = {}
    for method, region, *values in table["rows"]:
        methods.setdefault(method, {})[Region[region]] = tuple(values)
    protocol, source = Protocol[table["protocol"]], table["source"]
    return [PublishedSets(method, protocol, dice, source) for method, dice in methods.items()]


MEANS = tuple(PublishedMean(method, Protocol[protocol], *rest) for method, protocol, *rest in _DATA["means"])
"""Means over the 15 subsets."""

BY_SET = tuple(row for table in _DATA["tables"] for row in _parse_sets(table))
"""Tables of all 15 subsets. The means of some columns differ by up to 0.24 from the printed means."""

COUNTERINTUITIVE = {method: _map_regions(rates) for method, rates in _DATA["counterintuitive"].items()}
"""Counter-intuitive rate in percent (SimMLM, second-hand). The paper does not define it."""

CALIBRATION = {
    method: {name: _map_regions(values) for name, values in errors.items()}
    for method, errors in _DATA["calibration"].items()
}
"""ECE and SCE, means over the 15 subsets (SimMLM, second-hand). The paper does not define them or state their unit."""


def select_sets(protocol: Protocol) -> tuple[PublishedSets, ...]:
    """Return the full tables of one protocol."""
    return tuple(row for row in BY_SET if row.protocol is protocol)
