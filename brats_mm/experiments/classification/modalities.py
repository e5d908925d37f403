"""Modalities of a classification task, by name."""

from brats_mm.errors import OptionError


def known_modality(modality: str, modalities: tuple[str, ...]) -> str:
    """Return the modality after checking that the task has it.

    Raises:
        OptionError: the task has no such modality.
    """
    if modality not in modalities:
        raise OptionError(f"The modality is {modality!r}. Choose one of {', '.join(modalities)}.")
    return modality
