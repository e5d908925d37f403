"""Assign the images of a case that a list names without their sequences."""

from collections.abc import Sequence
from pathlib import Path

from brats_mm.data.checked_nifti import ITK_SUFFIXES
from brats_mm.domain.modality import MODALITIES, Modality
from brats_mm.domain.sequence_names import ImageName, read_image_names
from brats_mm.errors import CaseError


def assign_images(paths: Sequence[str | None]) -> dict[str, str]:
    """Return the files of a case by sequence.

    The names of the files decide, because lists of other programs have their own order. Auto3DSeg's lists of BraTS
    start with FLAIR. Files whose names state no sequence are in channel order (T1, T1ce, T2, FLAIR).

    Args:
        paths: files of a case, with None in the place of a missing sequence.

    Raises:
        CaseError: the names state the sequences of some files only, or a sequence twice, or there are not four names.
    """
    files = [path for path in paths if path]
    folder = Path(files[0]).parent.name if files else ""
    readings = read_image_names([ImageName(get_image_stem(Path(path).name)) for path in files], folder)
    named = {path: reading.modality for path, reading in zip(files, readings, strict=True)}
    if files and None not in named.values() and len(set(named.values())) == len(files):
        return {modality.value: path for path, modality in named.items() if modality is not None}
    in_channel_order = dict(zip(MODALITIES, paths, strict=False))
    agrees = all(named[path] in (None, modality) for modality, path in in_channel_order.items() if path)
    if len(paths) != len(MODALITIES) or not agrees:
        raise CaseError(_make_message(files, named))
    return {modality.value: path for modality, path in in_channel_order.items() if path}


def get_image_stem(name: str) -> str:
    """Return the name of an image file without its suffix."""
    return name.rpartition(".")[0] if name.lower().endswith(ITK_SUFFIXES) else name.split(".nii", maxsplit=1)[0]


def _make_message(files: Sequence[str], named: dict[str, Modality | None]) -> str:
    texts = [f"{Path(path).name} ({modality.value if (modality := named[path]) else 'unknown'})" for path in files]
    return (
        f"A case lists images whose sequences are not clear: {', '.join(texts) or 'none'}. Name the sequence of each, "
        'such as "image": {"t1ce": "case_1/t1ce.nii.gz"}.'
    )
