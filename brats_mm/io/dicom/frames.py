"""Read the frames of a multi-frame image from its shared and per-frame functional groups."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from brats_mm.io.dicom.facts import Physics
from brats_mm.io.dicom.slices import Slice, Stored
from brats_mm.io.dicom.values import read_integer, read_number, read_placement, read_text, read_words


@dataclass(frozen=True)
class Frames:
    """Frames of a file, with facts from their functional groups.

    Attributes:
        slices: one per frame, in file order.
        timing: attributes of `Physics` from the groups.
    """

    slices: tuple[Slice, ...]
    timing: dict[str, Any]

    def physics(self, whole_file: Physics) -> Physics:
        """Return the header facts of the file, completed from the functional groups."""
        values = {name: value for name, value in self.timing.items() if value not in (None, (), "")}
        return replace(whole_file, **values)


def read_frames(dataset: Any, path: Path, stored: Stored) -> Frames:
    """Read all frames of a multi-frame image."""
    shared = _read_first(dataset, "SharedFunctionalGroupsSequence")
    per_frame = list(dataset.get("PerFrameFunctionalGroupsSequence") or ())
    per_frame += [None] * (stored.frames - len(per_frame))
    slices = tuple(
        _read_frame(dataset, _collect_groups(per_frame[index], shared), path, stored, index)
        for index in range(stored.frames)
    )
    return Frames(slices, _read_timing(dataset, _collect_groups(per_frame[0], shared)))


Groups = Callable[[str], Any]
"""Function that returns the item of a functional group by the keyword of its sequence, or an empty item."""


def _collect_groups(frame_groups: Any, shared: Any) -> Groups:
    def find(keyword: str) -> Any:
        for groups in (frame_groups, shared):
            item = _read_first(groups, keyword) if groups is not None else None
            if item is not None:
                return item
        return {}

    return find


def _read_first(dataset: Any, keyword: str) -> Any:
    sequence: Sequence[Any] = (dataset.get(keyword) or ()) if dataset is not None else ()
    return sequence[0] if len(sequence) else None


def _read_frame(dataset: Any, groups: Groups, path: Path, stored: Stored, index: int) -> Slice:
    content, values = groups("FrameContentSequence"), groups("PixelValueTransformationSequence")
    placement = map(groups, ("PlanePositionSequence", "PlaneOrientationSequence", "PixelMeasuresSequence"))
    return Slice(
        path=path,
        frame=index,
        instance_uid=read_text(dataset, "SOPInstanceUID"),
        number=index,
        **read_placement(*placement),
        stored=stored,
        slope=read_number(values, "RescaleSlope") or 1.0,
        intercept=read_number(values, "RescaleIntercept") or 0.0,
        echo_ms=read_number(groups("MREchoSequence"), "EffectiveEchoTime"),
        image_type=read_words(groups("MRImageFrameTypeSequence"), "FrameType") or read_words(dataset, "ImageType"),
        stack_id=read_text(content, "StackID"),
        acquisition=read_integer(content, "FrameAcquisitionNumber"),
        temporal=read_integer(content, "TemporalPositionIndex"),
        b_value=read_number(groups("MRDiffusionSequence"), "DiffusionBValue"),
    )


def _read_timing(dataset: Any, groups: Groups) -> dict[str, Any]:
    timing, modifier = groups("MRTimingAndRelatedParametersSequence"), groups("MRModifierSequence")
    inverts = read_text(modifier, "InversionRecovery").upper() == "YES"
    return {
        "repetition_ms": read_number(timing, "RepetitionTime"),
        "flip_deg": read_number(timing, "FlipAngle"),
        "inversion_ms": read_number(modifier, "InversionTimes") if inverts else None,
        "scanning_sequence": _read_scanning(dataset, inverts=inverts),
        "sequence_variant": ("SP",) if read_text(modifier, "Spoiling").upper() not in ("", "NONE") else (),
        "scan_options": ("FS",) if "FAT" in read_text(modifier, "SpectrallySelectedSuppression").upper() else (),
        "acquisition_contrast": read_text(groups("MRImageFrameTypeSequence"), "AcquisitionContrast").upper(),
    }


def _read_scanning(dataset: Any, *, inverts: bool) -> tuple[str, ...]:
    """Return Scanning Sequence in the terms of classic MR."""
    echo = read_text(dataset, "EchoPulseSequence").upper()
    codes = {"SPIN": ("SE",), "GRADIENT": ("GR",), "BOTH": ("SE", "GR")}.get(echo, ())
    if read_text(dataset, "EchoPlanarPulseSequence").upper() == "YES":
        codes = (*codes, "EP")
    return (*codes, "IR") if inverts else codes
