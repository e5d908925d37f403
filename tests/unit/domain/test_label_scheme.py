"""The label scheme of a data set is derived from all its cases, or must be given."""

import numpy as np
import pytest

from brats_mm.domain.label_map import extract_regions
from brats_mm.domain.label_scheme import LabelScheme, decide_schemes, find_unknown_values
from brats_mm.domain.regions import Region
from brats_mm.errors import CaseError


def _decided(**values: set[int]) -> list[str]:
    return [scheme.value for scheme in decide_schemes({k: frozenset(v) for k, v in values.items()}).values()]


@pytest.mark.parametrize(
    ("scheme", "wt", "tc", "et"),
    [
        ("brats2018", [1, 1, 0, 1], [1, 0, 0, 1], [0, 0, 0, 1]),
        ("brats2023", [1, 1, 1, 0], [1, 0, 1, 0], [0, 0, 1, 0]),
        ("brats2024-post-treatment", [1, 1, 1, 0], [1, 0, 1, 0], [0, 0, 1, 0]),
        ("brats2024-paediatric", [1, 1, 1, 1], [1, 1, 1, 0], [1, 0, 0, 0]),
        ("msd", [1, 1, 1, 0], [0, 1, 1, 0], [0, 0, 1, 0]),
        ("nnunet-brats", [1, 1, 1, 0], [0, 1, 1, 0], [0, 0, 1, 0]),
    ],
)
def test_each_scheme_maps_its_values_to_regions(scheme: str, wt: list, tc: list, et: list) -> None:
    """For labels 1, 2, 3 and 4. The cavity of post-treatment maps is background."""
    regions = extract_regions(np.array([1, 2, 3, 4])[:, None, None], LabelScheme(scheme))
    assert [regions[region].ravel().astype(int).tolist() for region in (Region.WT, Region.TC, Region.ET)] == [
        wt,
        tc,
        et,
    ]


def test_schemes_are_identified_by_challenge_names() -> None:
    decided = decide_schemes(
        {
            "BraTS2021_00000": frozenset({1, 2, 4}),
            "BraTS19_CBICA_ASK_1": frozenset({2, 4}),
            "BraTS-SSA-00002-000": frozenset({1, 2, 3}),
            "BraTS-PED-00001-000": frozenset({1, 2, 4}),
        }
    )
    assert [scheme.value for scheme in decided.values()] == [
        "brats2018",
        "brats2018",
        "brats2023",
        "brats2024-paediatric",
    ]


def test_case_without_enhancing_tumour_follows_its_challenge() -> None:
    """Alone, {1, 2, 4} would look like BraTS 2018. The 3 of another patient shows that 4 is the cavity."""
    decided = decide_schemes({"BraTS-GLI-02062-100": frozenset({1, 2, 4}), "BraTS-GLI-02063-100": frozenset({2, 3})})
    assert {scheme.value for scheme in decided.values()} == {"brats2024-post-treatment"}


def test_other_names_with_labels_one_to_three_are_brats2023() -> None:
    assert _decided(one={1, 2}, two={2, 3}, empty=set()) == ["brats2023"] * 3


@pytest.mark.parametrize(
    ("values", "doubt"),
    [
        ({"one": {1, 2, 4}}, "4 is enhancing tumour, the resection cavity or oedema, depending on the scheme"),
        ({"one": {1, 2, 4}, "two": {1, 2, 3}}, "the meaning of 3 and 4 depends on the scheme"),
        ({"one": {1}, "two": {1}}, "contain 1, only one label, like a mask of the whole tumour"),
        ({"one": {255}}, "contain 255, only one label, like a mask of the whole tumour"),
        ({"one": {1, 2, 5}}, "contain 1, 2, 5, and no scheme has the label 5"),
        ({"BraTS-PED-00001-000": {1, 2, 3}}, "3 is enhancing tumour or the cystic component, depending on the scheme"),
        ({"BraTS2021_00000": {1, 2, 3, 4}}, "Select their label scheme"),
    ],
)
def test_ambiguous_scheme_must_be_given(values: dict[str, set[int]], doubt: str) -> None:
    with pytest.raises(CaseError, match=doubt):
        decide_schemes({name: frozenset(held) for name, held in values.items()})


def test_challenges_of_2018_to_2021_share_a_scheme() -> None:
    assert LabelScheme("brats2021") is LabelScheme.BRATS2018
    assert find_unknown_values([0, 1, 3], LabelScheme.BRATS2018) == [3]
    assert find_unknown_values([0, 1, 4], LabelScheme.BRATS2024_POST_TREATMENT) == []
    assert "cavity" in LabelScheme.BRATS2024_POST_TREATMENT.note


def test_older_case_with_labels_of_2023_does_not_stop_others():
    decided = decide_schemes(
        {
            "BraTS2021_00001": frozenset({1, 2, 4}),
            "BraTS2021_01306": frozenset({1, 2, 3}),
            "brats_2013_pat0001_1": frozenset({1, 4}),
        }
    )
    assert decided == {
        "BraTS2021_00001": LabelScheme.BRATS2018,
        "brats_2013_pat0001_1": LabelScheme.BRATS2018,
        "BraTS2021_01306": LabelScheme.BRATS2023,
    }
