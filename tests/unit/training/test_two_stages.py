"""Selection of the experts that one command trains."""

import pytest

from brats_mm.domain.modality import MODALITIES, Modality
from brats_mm.errors import OptionError
from brats_mm.training.two_stages import parse_modalities


def test_selects_all_one_or_several_experts() -> None:
    assert parse_modalities("all") == MODALITIES
    assert parse_modalities("t2") == (Modality.T2,)
    assert parse_modalities(["flair", "t1"]) == (Modality.FLAIR, Modality.T1)


def test_error_names_unknown_modality() -> None:
    with pytest.raises(OptionError, match=r"Unknown modality t3\. Use all, or one or more of t1, t1ce, t2, flair"):
        parse_modalities(["t1", "t3"])
