"""Selection of the experts that one command trains."""

import pytest

from brats_mm.domain.modality import MODALITIES, Modality
from brats_mm.errors import OptionError
from brats_mm.training.every_expert import EveryExpert, chosen


def test_all_one_or_several() -> None:
    assert chosen("all") == MODALITIES
    assert chosen("t2") == (Modality.T2,)
    assert chosen(["flair", "t1"]) == (Modality.FLAIR, Modality.T1)


def test_an_unknown_modality_is_named() -> None:
    with pytest.raises(OptionError, match=r"Unknown modality t3\. Give all, or one or several of t1, t1ce, t2, flair"):
        chosen(["t1", "t3"])


def test_a_property_needs_a_single_training() -> None:
    with pytest.raises(OptionError, match="Use the workflow of a single modality"):
        EveryExpert("absent.json")._get_property("trainer", {})
