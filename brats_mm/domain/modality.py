"""The four MR sequences, their one order, and the names they go by in files."""

import re
from enum import Enum
from itertools import pairwise


class Modality(str, Enum):
    """An MR sequence of a brain tumour protocol. The order of the members is the channel order everywhere."""

    T1 = "t1"
    T1CE = "t1ce"
    T2 = "t2"
    FLAIR = "flair"

    @property
    def label(self) -> str:
        """The name as people write it."""
        return _LABELS[self]

    @property
    def channel(self) -> int:
        """Position in a tensor of all modalities."""
        return MODALITIES.index(self)


MODALITIES: tuple[Modality, ...] = tuple(Modality)

_LABELS = {Modality.T1: "T1", Modality.T1CE: "T1ce", Modality.T2: "T2", Modality.FLAIR: "FLAIR"}

ALIASES: dict[str, Modality] = {
    **dict.fromkeys(("t1", "t1n", "t1w", "t1wi", "t1pre", "t1native", "unstrippedt1"), Modality.T1),
    **dict.fromkeys(
        ("t1ce", "t1c", "t1gd", "t1gad", "t1post", "t1cew", "t1wce", "t1wc", "t1km", "ct1", "t1contrast"), Modality.T1CE
    ),
    **dict.fromkeys(("t2", "t2w", "t2wi"), Modality.T2),
    **dict.fromkeys(("flair", "t2f", "t2flair", "fla", "flr", "tirm"), Modality.FLAIR),
}
"""Name tokens, lower case: BraTS 2012-2024, UPENN-GBM, UCSF-PDGM, MSD and clinical habit."""

CONTRAST_TOKENS = frozenset({"gd", "gad", "gado", "gadolinium", "ce", "contrast", "post", "postcontrast", "km"})
"""Tokens that make a T1 beside them contrast-enhanced, as in `T1_Gd` or `T1-post`."""

NATIVE_TOKENS = frozenset(
    {"pre", "precontrast", "noncontrast", "native", "unenhanced", "plain", "no", "non", "without", "wo"}
)
"""Tokens that take the contrast back, as in `T1_pre_contrast` or `T1_without_Gd`."""

LABEL_TOKENS = frozenset(
    {"seg", "segm", "segmentation", "label", "labels", "mask", "brainmask", "ot", "gt", "segauto", "autosegm", "pred"}
)
"""Tokens of files that hold labels, not images."""

OTHER_IMAGE_TOKENS = frozenset(
    {
        "adc",
        "dwi",
        "dti",
        "swi",
        "swan",
        "asl",
        "dsc",
        "dce",
        "cbv",
        "rcbv",
        "cbf",
        "perfusion",
        "bold",
        "tof",
        "mra",
        "star",
    }
    | {"t2star", "subtraction", "entropy", "importance", "probability", "uncertainty"}
)
"""Tokens of other MR images, and of results that may lie beside the input."""

MSD_CHANNELS: tuple[Modality, ...] = (Modality.FLAIR, Modality.T1, Modality.T1CE, Modality.T2)
"""Channel numbers `_0000` to `_0003` of the Medical Segmentation Decathlon's brain tumour task."""

_TOKEN = re.compile(r"[a-z0-9]+")


def name_tokens(stem: str) -> list[str]:
    """Lower-case alphanumeric runs of a file name without its suffix."""
    return _TOKEN.findall(stem.lower())


def is_label_name(stem: str) -> bool:
    """Whether a file name says that the file holds labels."""
    return any(token in LABEL_TOKENS for token in name_tokens(stem))


def is_other_image_name(stem: str) -> bool:
    """Whether a file name says that the file holds another kind of MR image (`T2_star`), or a result."""
    return any(token in OTHER_IMAGE_TOKENS for token in name_tokens(stem))


def modalities_in_name(stem: str) -> set[Modality]:
    """The modalities that a file name speaks of; one element when the name is clear, none when it says nothing.

    `T2_FLAIR` is FLAIR; `T1_Gd` and `T1+C` are T1ce, `T1_pre_Gd` is not. A name with two sequences otherwise
    (`t2_to_t1`) gives both.
    """
    tokens = name_tokens(stem)
    named = {ALIASES[token] for token in tokens if token in ALIASES}
    if Modality.FLAIR in named:
        named.discard(Modality.T2)
    contrast = CONTRAST_TOKENS.intersection(tokens) or ("t1", "c") in pairwise(tokens)
    if Modality.T1 in named and contrast and not NATIVE_TOKENS.intersection(tokens):
        named = (named - {Modality.T1}) | {Modality.T1CE}
    return named
