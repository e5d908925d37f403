"""Label schemes: meanings of the values in reference label maps, and the scheme of a dataset.

The same value has different meanings: 4 is enhancing tumour up to BraTS 2021, the resection cavity in BraTS 2024
post-treatment, and oedema in BraTS 2024 paediatric. A single map cannot tell them apart, so the scheme is chosen per
dataset from the names and values of all its cases.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum

from brats_mm.domain.regions import Compartment
from brats_mm.errors import CaseError

Values = frozenset[int]
"""Values of a label map, without background."""

NCR, ED, ET = Compartment.NECROSIS, Compartment.OEDEMA, Compartment.ENHANCING


class LabelScheme(str, Enum):
    """Numbering of the tumour's parts in a dataset."""

    BRATS2018 = "brats2018"
    BRATS2023 = "brats2023"
    BRATS2024_POST_TREATMENT = "brats2024-post-treatment"
    BRATS2024_PAEDIATRIC = "brats2024-paediatric"
    MSD = "msd"
    NNUNET_BRATS = "nnunet-brats"

    @classmethod
    def _missing_(cls, value: object) -> "LabelScheme | None":
        """Map the challenges of 2018 to 2021 to their common scheme."""
        return cls.BRATS2018 if value in ("brats2019", "brats2020", "brats2021") else None

    @property
    def parts(self) -> Mapping[int, Compartment]:
        """Compartments by value. Other values of the scheme count as background."""
        return _PARTS[self]

    @property
    def values(self) -> Values:
        """All values of the scheme, without background."""
        return frozenset(self.parts) | (frozenset({4}) if self is self.BRATS2024_POST_TREATMENT else frozenset())

    @property
    def note(self) -> str:
        """Note on the mapping for readers of results. Empty if there is none."""
        return _NOTES.get(self, "")


_PARTS: dict[LabelScheme, dict[int, Compartment]] = {
    LabelScheme.BRATS2018: {1: NCR, 2: ED, 4: ET},
    LabelScheme.BRATS2023: {1: NCR, 2: ED, 3: ET},
    LabelScheme.BRATS2024_POST_TREATMENT: {1: NCR, 2: ED, 3: ET},
    LabelScheme.BRATS2024_PAEDIATRIC: {1: ET, 2: NCR, 3: NCR, 4: ED},
    LabelScheme.MSD: {1: ED, 2: NCR, 3: ET},
    LabelScheme.NNUNET_BRATS: {1: ED, 2: NCR, 3: ET},
}

_NOTES = {
    LabelScheme.BRATS2024_POST_TREATMENT: "The resection cavity (label 4) counts as background.",
    LabelScheme.BRATS2024_PAEDIATRIC: (
        "The non-enhancing tumour (label 2) and the cystic component (label 3) count as non-enhancing core."
    ),
}

SCHEMES = ", ".join(scheme.value for scheme in LabelScheme)
"""Return a short description for messages."""

_FAMILIES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"(brats(17|18|19|20|2021)_|brats_201\d_|ucsf-pdgm-|upenn-gbm-)", re.IGNORECASE), "2018"),
    (re.compile(r"brats-ped-", re.IGNORECASE), "ped"),
    (re.compile(r"brats-(gli|met|men|ssa)-", re.IGNORECASE), "2023"),
)
"""Patterns of case names by challenge, with the scheme of each."""


def decide_schemes(values: Mapping[str, Values]) -> dict[str, LabelScheme]:
    """Decide the scheme of each case from the names and the label values of all cases of a data set.

    Returns:
        Case name -> scheme. Cases of different challenges can have different schemes.

    Raises:
        CaseError: names and values match more than one scheme.
    """
    families: dict[str, list[str]] = {}
    for name in values:
        families.setdefault(_find_family(name, values[name]), []).append(name)
    schemes: dict[str, LabelScheme] = {}
    for family, names in families.items():
        together = frozenset[int]().union(*(values[name] for name in names))
        scheme = _choose_scheme(family, together)
        if scheme is None:
            raise CaseError(_describe_undecided(names, together))
        schemes |= dict.fromkeys(names, scheme)
    return schemes


def find_scheme(parts: Mapping[int, Compartment]) -> LabelScheme | None:
    """Return the scheme with these meanings of the values, or None if there is no such scheme."""
    return next((scheme for scheme in LabelScheme if scheme.parts == dict(parts)), None)


def _find_family(name: str, values: Values) -> str:
    """Return the family of a case's name, corrected if its own values rule that family out.

    Until 2021, no scheme used label 3. So a case of those years with label 3 but not 4 was republished with labels of
    2023.
    """
    family = next((family for pattern, family in _FAMILIES if pattern.match(name)), "other")
    return "2023" if family == "2018" and 3 in values and 4 not in values else family


def _choose_scheme(family: str, values: Values) -> LabelScheme | None:
    if not values <= {1, 2, 3, 4} or values == {1}:  # 1 alone: more likely a mask of the whole tumour
        return None
    if family == "ped":
        return LabelScheme.BRATS2024_PAEDIATRIC if 4 in values else None
    if family == "2018":
        return None if 3 in values else LabelScheme.BRATS2018
    if 4 not in values:
        return LabelScheme.BRATS2023
    return LabelScheme.BRATS2024_POST_TREATMENT if family == "2023" else None


def _describe_undecided(names: Sequence[str], values: Values) -> str:
    names_text = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    values_text = ", ".join(str(value) for value in sorted(values))
    return (
        f"The label maps of {names_text} contain {values_text}, {_describe_doubt(values)}. "
        f"Select their label scheme, one of {SCHEMES}."
    )


def _describe_doubt(values: Iterable[int]) -> str:
    label_values = set(values)
    if len(label_values) == 1:
        return "only one label, like a mask of the whole tumour"
    if unknown := sorted(label_values - {1, 2, 3, 4}):
        return f"and no scheme has the label {unknown[0]}"
    if {3, 4} <= label_values:
        return "and the meaning of 3 and 4 depends on the scheme"
    if 4 in label_values:
        return "and 4 is enhancing tumour, the resection cavity or oedema, depending on the scheme"
    return "and 3 is enhancing tumour or the cystic component, depending on the scheme"


def find_unknown_values(values: Iterable[int], scheme: LabelScheme) -> list[int]:
    """Return the values that are not part of a scheme."""
    return sorted(set(values) - {0} - scheme.values)
