"""Published results for BraTS with missing sequences: Dice in percent.

Each row names its protocol. Do not compare rows of different protocols: the split, the rule for small enhancing tumours
and the policy for empty regions change ET by several points. No row was scored by this software. The source states
where a paper's table was only seen second-hand.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

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


class Protocol(str, Enum):
    """Cases and scoring of a published row."""

    OFFICIAL_2018 = "BraTS 2018, 66 validation cases, official server (closed)"
    HOLD_OUT_2018 = "BraTS 2018, 'validation set' of an ablation; probably 57 held-out cases of the 285, no ET rule"
    THREE_FOLD_2018 = "BraTS 2018, three splits 199/29/57"
    FOLD_3_2018 = "BraTS 2018, lists equal to the third of the splits 199/29/57"
    OWN_2018 = "BraTS 2018, the authors' own split"
    DEDICATED_2018 = "BraTS 2018, own split, one model for each set"
    UNKNOWN_2018 = "BraTS 2018, split not stated"
    SPLIT_2020 = "BraTS 2020, split 219/50/100"
    DEDICATED_2020 = "BraTS 2020, split 219/50/100, one model for each set"
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
        """Dice in percent of one set and region."""
        return self.dice[region][PAPER_ORDER.index(subset)]


_SIMMLM = "SimMLM (ICCV 2025), main table, second-hand"
_SUPPLEMENT = "SimMLM supplement, Tables A2 and A3"
_RFNET = "as listed by RFNet"
_DEMOSEG = "as listed by DeMoSeg"
_SMU = "as listed by SMU-Net"
_M3AE = "M3AE, own tables"
_NODES = "as listed by Virtual-Nodes GNN (CVPR 2026), second-hand"
_CLOE = "as listed by CLoE (CVPR 2026), second-hand"
_UNIME = "UniME (CVPR 2026), second-hand"

MEANS: tuple[PublishedMean, ...] = tuple(
    PublishedMean(method, protocol, et, tc, wt, source)
    for method, protocol, et, tc, wt, source in (
        ("ShaSpec", Protocol.OFFICIAL_2018, 61.58, 77.45, 85.92, _SIMMLM),
        ("MoMKE (re-implemented)", Protocol.OFFICIAL_2018, 65.56, 78.58, 86.69, _SIMMLM),
        ("DMoME without MoFe", Protocol.OFFICIAL_2018, 66.05, 79.14, 86.71, _SIMMLM),
        ("SimMLM", Protocol.OFFICIAL_2018, 67.16, 80.20, 87.67, _SIMMLM),
        ("SimMLM, no pretrained experts", Protocol.HOLD_OUT_2018, 62.24, 77.42, 86.63, _SUPPLEMENT),
        ("SimMLM, static mean instead of gate", Protocol.HOLD_OUT_2018, 61.40, 77.49, 86.70, _SUPPLEMENT),
        ("SimMLM, feature-level mixture", Protocol.HOLD_OUT_2018, 62.76, 78.19, 87.27, _SUPPLEMENT),
        ("SimMLM, probability-level mixture", Protocol.HOLD_OUT_2018, 62.72, 78.31, 87.33, _SUPPLEMENT),
        ("SimMLM", Protocol.HOLD_OUT_2018, 63.22, 78.54, 87.21, _SUPPLEMENT),
        ("RobustSeg", Protocol.THREE_FOLD_2018, 51.02, 69.78, 84.37, _RFNET),
        ("RFNet", Protocol.THREE_FOLD_2018, 57.12, 76.53, 85.67, _RFNET),
        ("mmFormer", Protocol.THREE_FOLD_2018, 59.12, 75.82, 86.38, _DEMOSEG),
        ("MAVP", Protocol.THREE_FOLD_2018, 60.01, 76.00, 86.60, _DEMOSEG),
        ("GSS", Protocol.THREE_FOLD_2018, 63.49, 78.25, 87.20, _DEMOSEG),
        ("DeMoSeg (ET rule of 500 voxels)", Protocol.THREE_FOLD_2018, 64.90, 79.79, 87.96, _DEMOSEG),
        ("M3AE", Protocol.FOLD_3_2018, 59.9, 77.4, 85.8, _M3AE),
        ("mmFormer", Protocol.OWN_2018, 59.85, 72.97, 82.94, "mmFormer, second-hand"),
        ("ACN", Protocol.DEDICATED_2018, 60.7, 76.8, 85.3, _SMU),
        ("SMU-Net", Protocol.DEDICATED_2018, 61.8, 77.9, 85.9, _SMU),
        ("MMCFormer", Protocol.DEDICATED_2018, 64.7, 79.3, 85.8, _NODES),
        ("HeMIS", Protocol.UNKNOWN_2018, 48.1, 59.7, 78.6, "as listed by SMU-Net and RFNet"),
        ("U-HVED", Protocol.UNKNOWN_2018, 50.0, 64.0, 80.1, _RFNET),
        ("Virtual-Nodes GNN", Protocol.UNKNOWN_2018, 66.0, 81.4, 86.7, _NODES),
        ("HeMIS", Protocol.SPLIT_2020, 47.73, 65.45, 75.10, _RFNET),
        ("U-HVED", Protocol.SPLIT_2020, 48.55, 67.19, 81.24, _RFNET),
        ("RobustSeg", Protocol.SPLIT_2020, 55.49, 73.45, 84.17, _RFNET),
        ("RFNet", Protocol.SPLIT_2020, 61.47, 78.23, 86.98, _RFNET),
        ("M3AE", Protocol.SPLIT_2020, 61.7, 79.1, 86.9, _M3AE),
        ("SRMNet", Protocol.SPLIT_2020, 62.2, 79.2, 87.0, "SRMNet, repository"),
        ("LS3M", Protocol.SPLIT_2020, 63.6, 79.8, 88.2, _NODES),
        ("mmFormer", Protocol.SPLIT_2020, 64.08, 78.69, 87.08, _DEMOSEG),
        ("MAVP", Protocol.SPLIT_2020, 64.87, 79.67, 87.58, _DEMOSEG),
        ("DC-Seg", Protocol.SPLIT_2020, 65.00, 79.63, 87.54, _CLOE),
        ("CLoE", Protocol.SPLIT_2020, 65.06, 80.23, 88.09, _CLOE),
        ("Virtual-Nodes GNN", Protocol.SPLIT_2020, 65.8, 80.8, 88.4, _NODES),
        ("GSS", Protocol.SPLIT_2020, 66.42, 79.24, 88.09, _DEMOSEG),
        ("DeMoSeg (ET rule of 500 voxels)", Protocol.SPLIT_2020, 69.71, 81.58, 88.90, _DEMOSEG),
        ("ACN", Protocol.DEDICATED_2020, 59.9, 77.9, 85.4, "re-run by M3AE"),
        ("SMU-Net", Protocol.DEDICATED_2020, 59.7, 77.7, 85.3, "re-run by M3AE"),
        ("UniME", Protocol.SPLIT_2023, 75.59, 84.51, 90.38, _UNIME),
        ("UniME", Protocol.SPLIT_2024, 75.12, 77.49, 88.02, _UNIME),
    )
)
"""Means over the 15 subsets."""

SIMMLM_OFFLINE = next(row for row in MEANS if row.method == "SimMLM" and row.protocol is Protocol.HOLD_OUT_2018)
"""The row to compare an offline run of SimMLM with. The server's scores cannot be reproduced."""

SIMMLM_T1CE_ONLY = {Region.ET: 78.58, Region.TC: 83.45, Region.WT: 80.02}
"""The only known subset of SimMLM's official table: T1ce alone."""

COUNTERINTUITIVE: Mapping[str, Mapping[Region, float]] = {
    "MoMKE (re-implemented)": {Region.ET: 14.60, Region.TC: 32.47, Region.WT: 9.86},
    "DMoME without MoFe": {Region.ET: 10.47, Region.TC: 30.94, Region.WT: 3.87},
    "SimMLM": {Region.ET: 7.20, Region.TC: 28.19, Region.WT: 3.75},
}
"""Counter-intuitive rate in percent (SimMLM, second-hand); the paper does not define it."""

CALIBRATION: Mapping[str, Mapping[str, Mapping[Region, float]]] = {
    "MoMKE (re-implemented)": {
        "ece": {Region.ET: 3.46, Region.TC: 4.10, Region.WT: 4.04},
        "sce": {Region.ET: 14.82, Region.TC: 11.35, Region.WT: 7.69},
    },
    "DMoME without MoFe": {
        "ece": {Region.ET: 3.34, Region.TC: 3.86, Region.WT: 3.98},
        "sce": {Region.ET: 13.40, Region.TC: 11.01, Region.WT: 7.11},
    },
    "SimMLM": {
        "ece": {Region.ET: 3.15, Region.TC: 3.75, Region.WT: 3.55},
        "sce": {Region.ET: 13.21, Region.TC: 10.83, Region.WT: 5.65},
    },
}
"""ECE and SCE, means over the 15 sets (SimMLM, second-hand); the paper defines neither, nor their unit."""

# One line a method and region, one column a set in the papers' order.

_BRATS2018_3FOLD = """
RFNet ET 40.17 69.43 34.43 33.92 73.01 70.73 39.68 41.42 43.77 72.84 73.17 44.79 73.13 72.56 73.21
RFNet TC 67.62 80.99 64.42 64.89 83.27 82.22 71.59 70.89 70.82 82.94 83.77 73.09 83.54 83.97 84.02
RFNet WT 84.30 74.93 74.68 86.46 86.39 78.59 88.78 86.15 89.12 89.17 89.71 89.68 90.06 86.78 90.26
mmFormer ET 40.32 76.02 32.74 35.62 75.82 75.63 39.36 42.45 43.46 76.33 76.69 44.00 75.84 76.18 76.43
mmFormer TC 68.04 80.68 64.61 64.53 82.06 82.03 70.77 70.42 70.44 81.98 82.79 72.01 82.05 82.45 82.36
mmFormer WT 85.64 77.11 77.01 87.17 86.87 80.52 88.85 86.92 89.48 89.51 89.66 89.76 90.11 87.07 90.14
MAVP ET 40.93 75.87 34.24 35.22 77.73 76.47 39.70 44.37 44.51 76.93 77.64 44.06 77.50 77.54 77.24
MAVP TC 68.04 80.49 65.28 64.75 82.15 82.29 72.77 70.58 70.47 82.34 83.06 72.20 82.12 82.43 82.41
MAVP WT 85.88 77.40 77.72 87.29 87.04 81.03 89.03 86.94 89.59 89.68 89.74 89.81 90.22 87.18 90.18
GSS ET 45.76 77.10 42.37 42.88 79.39 77.90 47.34 48.98 48.59 77.84 78.42 50.17 78.69 78.51 78.33
GSS TC 69.43 82.32 67.47 68.60 84.35 83.71 73.81 73.24 73.38 83.71 84.73 75.37 84.42 84.56 84.61
GSS WT 86.40 78.47 78.79 87.65 87.94 81.90 89.56 87.48 89.93 89.90 90.25 90.23 90.73 88.04 90.74
DeMoSeg ET 45.07 78.98 45.63 42.81 77.77 80.48 51.08 49.72 51.08 78.79 80.08 53.12 79.38 79.47 80.01
DeMoSeg TC 72.12 84.81 70.49 71.99 84.92 85.00 75.68 75.28 74.80 85.00 85.27 76.21 84.93 85.10 85.29
DeMoSeg WT 87.22 81.99 80.57 89.53 88.14 83.51 90.29 87.87 90.50 90.11 90.19 90.25 90.48 88.30 90.49
"""

_BRATS2018_DEDICATED = """
ACN ET 41.7 78.0 41.8 42.2 74.9 75.3 42.5 46.5 44.3 77.5 75.1 42.8 73.8 75.9 78.2
ACN TC 66.8 83.3 70.9 66.4 83.2 83.9 70.4 72.8 70.7 82.9 83.3 67.7 82.9 83.2 84.8
ACN WT 85.4 79.8 78.7 87.3 84.9 79.6 86.0 84.4 86.9 87.8 88.4 87.4 87.2 86.6 89.1
SMU-Net ET 43.1 78.3 42.8 46.1 75.7 75.1 44.0 47.7 46.0 77.3 76.2 43.1 75.4 76.2 79.3
SMU-Net TC 67.2 84.1 69.5 71.8 85.0 84.4 71.2 73.5 71.2 84.1 84.2 67.9 82.5 84.4 87.3
SMU-Net WT 85.7 80.3 78.6 87.5 86.1 80.3 87.3 85.6 87.9 88.4 88.2 88.3 88.2 86.5 88.9
"""

_BRATS2020 = """
RFNet ET 46.29 74.85 37.30 38.15 75.93 78.01 40.98 45.65 49.32 76.67 76.81 49.92 77.12 76.99 78.00
RFNet TC 71.02 81.51 66.02 69.19 83.45 83.40 73.07 73.13 74.14 84.65 85.07 75.19 84.97 83.47 85.21
RFNet WT 86.05 76.77 77.16 87.32 87.84 81.12 89.73 87.73 89.87 89.89 90.69 90.60 90.68 88.25 91.11
mmFormer ET 46.34 80.08 38.03 42.37 79.39 80.07 45.92 46.76 48.64 81.89 82.09 50.29 78.73 79.29 79.92
mmFormer TC 70.86 83.99 65.92 68.79 84.75 83.56 73.84 73.41 74.61 84.78 85.22 75.58 85.32 84.17 84.61
mmFormer WT 86.14 78.47 77.97 87.40 87.81 81.75 89.79 87.81 89.85 89.34 90.11 90.57 90.38 88.16 90.64
MAVP ET 47.22 81.36 39.07 42.82 80.13 81.72 46.76 47.28 49.48 81.22 81.83 51.05 80.01 82.06 80.98
MAVP TC 70.97 84.26 67.65 69.92 86.29 85.83 74.44 72.88 74.48 86.59 86.74 75.81 86.41 86.47 86.40
MAVP WT 86.67 79.46 79.52 86.92 88.35 83.10 89.80 87.93 90.05 89.95 90.61 90.63 90.84 88.87 91.03
GSS ET 51.28 78.62 39.74 42.29 80.49 80.82 49.50 53.05 54.36 80.99 82.27 53.87 81.14 81.24 83.00
GSS TC 72.26 83.38 66.39 72.45 84.55 83.18 73.72 73.43 75.66 85.96 85.75 75.69 86.04 84.34 85.75
GSS WT 87.62 80.14 79.79 88.07 88.70 83.09 90.10 88.72 90.38 90.64 91.08 91.05 91.33 89.01 91.60
DeMoSeg ET 53.84 81.42 45.17 47.75 83.46 82.24 56.62 57.48 58.18 83.95 84.08 59.88 84.11 84.24 83.23
DeMoSeg TC 73.83 85.70 71.67 75.01 87.06 86.56 77.51 75.58 77.05 87.19 87.16 77.80 87.18 87.30 87.03
DeMoSeg WT 88.31 82.10 81.16 89.83 89.37 84.05 91.12 89.11 91.09 91.34 91.58 91.30 91.68 89.72 91.79
"""


def _read(table: str) -> dict[str, dict[Region, tuple[float, ...]]]:
    methods: dict[str, dict[Region, tuple[float, ...]]] = {}
    for line in table.strip().splitlines():
        method, region, *values = line.split()
        methods.setdefault(method, {})[Region[region]] = tuple(float(value) for value in values)
    return methods


BY_SET: tuple[PublishedSets, ...] = tuple(
    PublishedSets(method, protocol, dice, source)
    for table, protocol, source in (
        (_BRATS2018_3FOLD, Protocol.THREE_FOLD_2018, _DEMOSEG),
        (_BRATS2018_DEDICATED, Protocol.DEDICATED_2018, _SMU),
        (_BRATS2020, Protocol.SPLIT_2020, _DEMOSEG),
    )
    for method, dice in _read(table).items()
)
"""Tables of all 15 sets. Some columns' means differ from the printed means by up to 0.24; both are kept as printed."""


def sets_of(protocol: Protocol) -> tuple[PublishedSets, ...]:
    """The full tables of one protocol."""
    return tuple(row for row in BY_SET if row.protocol is protocol)
