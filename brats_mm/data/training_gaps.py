"""Leave out sequences of some training cases, to study training data in which a sequence is rare.

SimMLM trains with a modality that only 5, 10, 20, 30 or 50 % of the samples have (supplement, figure A2).
"""

from collections.abc import Mapping, Sequence

import numpy as np

from brats_mm.data.datalist import Item
from brats_mm.domain.modality import MODALITIES, Modality
from brats_mm.domain.sequence_names import parse_modality
from brats_mm.errors import OptionError


def add_gaps(items: Sequence[Item], shares: Mapping[Modality, float | int], *, seed: int = 0) -> list[Item]:
    """Return the cases with sequences removed from some of them.

    With one seed, the cases that keep a sequence at a small fraction also keep it at every larger one, so results at
    several fractions are comparable. A case that would lose all its sequences keeps one of them.

    Args:
        items: cases, see `data.datalist.Item`. They are not modified.
        shares: fraction of the cases with a sequence that keep it, 0 to 1. Other sequences are kept.
        seed: seed of the choice.

    Raises:
        OptionError: a fraction is not from 0 to 1, or above 0 but too small for a single case.
    """
    for modality, share in shares.items():
        if not 0 <= share <= 1:
            raise OptionError(
                f"The fraction of cases that keep {modality.label} is {share:g}. Use a fraction from 0 to 1."
            )
    keeping = [set(item["image"]) for item in items]
    for modality, share in shares.items():
        having = [number for number, item in enumerate(items) if modality.value in item["image"]]
        kept_cases = round(share * len(having))
        if having and share > 0 and kept_cases == 0:
            raise OptionError(
                f"{modality.value}={share:g} keeps {modality.label} in none of the {len(having)} training cases that "
                "have it. Use a larger fraction, or 0 to remove it from all."
            )
        order = np.random.default_rng((seed, modality.channel)).permutation(having)
        for number in order[kept_cases:]:
            keeping[number].discard(modality.value)
    rng = np.random.default_rng((seed, len(MODALITIES)))
    for kept, item in zip(keeping, items, strict=True):
        spare = rng.random(len(MODALITIES))  # drawn for every case, so that a share does not change the other cases
        if not kept:
            kept.add(max(item["image"], key=lambda name: spare[Modality(name).channel]))
    return [_keep_sequences(item, kept) for item, kept in zip(items, keeping, strict=True)]


def parse_shares(words: Sequence[str]) -> dict[Modality, float]:
    """Parse settings such as `t1ce=0.1`.

    Raises:
        OptionError: a setting has no known sequence or no number.
    """
    return dict(map(_parse_share, words))


def _parse_share(word: str) -> tuple[Modality, float]:
    name, _, share = word.partition("=")
    modality = parse_modality(name)
    try:
        return modality, float(share)
    except ValueError as error:
        raise OptionError(f"{word!r} has no fraction. Use one such as {name}=0.1.") from error


def _keep_sequences(item: Item, kept: set[str]) -> Item:
    by_sequence = (key for key in ("image", "volumes") if key in item)
    return {**item, **{key: {name: item[key][name] for name in item[key] if name in kept} for key in by_sequence}}
