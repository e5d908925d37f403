"""Write the registered scans on the grid of the results, for viewers that do not apply transforms."""

from pathlib import Path

import numpy as np

from brats_mm.domain.availability import ordered
from brats_mm.domain.modality import Modality
from brats_mm.domain.volume import Volume
from brats_mm.outputs.folder import OutputFolder
from brats_mm.outputs.nifti import write_map
from brats_mm.preprocessing.itk_volume import resample_onto, transform_of
from brats_mm.preprocessing.scans import Prepared


def registered_name(modality: Modality) -> str:
    """Return the file name of a sequence on the grid of the results."""
    return f"registered_{modality.value}.nii.gz"


def image_name(modality: Modality) -> str:
    """Return the file name of a DICOM series that was not registered, stored as a volume."""
    return f"image_{modality.value}.nii.gz"


def registered_names(prepared: Prepared) -> tuple[str, ...]:
    """Return the files of `write_registered`: one for each sequence that was registered to the reference."""
    return tuple(registered_name(modality) for modality in ordered(prepared.transforms))


def write_registered(prepared: Prepared, out: OutputFolder) -> None:
    """Resample each registered scan with skull onto the reference in one interpolation, and write it.

    Raises:
        OutputError: a file cannot be written.
    """
    for modality in ordered(prepared.transforms):
        moved = resample_onto(prepared.scans[modality], prepared.reference, transform_of(prepared.transforms[modality]))
        write_image(out.staged(registered_name(modality)), moved, f"{modality.label} registered to the reference")


def write_image(path: Path, volume: Volume, description: str) -> None:
    """Write intensities as 16-bit integers with a scale. Negative values are shifted, as the header records.

    Raises:
        OutputError: the file cannot be written.
    """
    least = float(min(0.0, volume.data.min()))
    text = description + (f", shifted by {-least:g}" if least < 0 else "")
    maximum = float(volume.data.max()) - least or 1.0
    write_map(path, volume.data - np.float32(least), volume.grid, description=text, maximum=maximum)
