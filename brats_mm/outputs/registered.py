"""Write the registered scans on the grid of the results, and the intermediate volumes and transforms of raw scans."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk  # noqa: N813 (the usual abbreviation)

from brats_mm.domain.availability import sort_modalities
from brats_mm.domain.modality import Modality
from brats_mm.domain.options import INTERMEDIATE_FOLDER
from brats_mm.domain.volume import Volume
from brats_mm.outputs.folder import OutputFolder, convert_output_errors
from brats_mm.outputs.nifti import write_labels, write_map
from brats_mm.preprocessing.itk_volume import build_transform, resample_onto
from brats_mm.preprocessing.scans import Prepared


def make_registered_name(modality: Modality) -> str:
    """Return the file name of a sequence on the grid of the results."""
    return f"registered_{modality.value}.nii.gz"


def make_image_name(modality: Modality) -> str:
    """Return the file name of a DICOM series that was not registered, stored as a volume."""
    return f"image_{modality.value}.nii.gz"


def list_registered_names(prepared: Prepared) -> tuple[str, ...]:
    """Return the files of `write_registered`: one for each sequence that was registered to the reference."""
    return tuple(make_registered_name(modality) for modality in sort_modalities(prepared.transforms))


def write_registered(prepared: Prepared, out: OutputFolder) -> None:
    """Resample each registered scan with skull onto the reference in one interpolation, and write it.

    Raises:
        OutputError: a file cannot be written.
    """
    for modality in sort_modalities(prepared.transforms):
        moved = resample_onto(
            prepared.scans[modality], prepared.reference, build_transform(prepared.transforms[modality])
        )
        write_image(out.staged(make_registered_name(modality)), moved, f"{modality.label} registered to the reference")


def write_image(path: Path, volume: Volume, description: str) -> None:
    """Write intensities as 16-bit integers with a scale. Negative values are shifted, as the header records.

    Args:
        path: NIfTI file to write.
        volume: image to write.
        description: description for the header.

    Raises:
        OutputError: the file cannot be written.
    """
    least = float(min(0.0, volume.data.min()))
    text = description + (f", shifted by {-least:g}" if least < 0 else "")
    maximum = float(volume.data.max()) - least or 1.0
    write_map(path, volume.data - np.float32(least), volume.grid, description=text, maximum=maximum)


def list_intermediate_names(prepared: Prepared) -> tuple[str, ...]:
    """Return the file names, relative to the results folder."""
    volumes = [
        f"{INTERMEDIATE_FOLDER}/{modality.value}_registered.nii.gz" for modality in sort_modalities(prepared.registered)
    ]
    transforms = [
        f"{INTERMEDIATE_FOLDER}/{_transform_name(modality)}" for modality in sort_modalities(prepared.transforms)
    ]
    return (*volumes, f"{INTERMEDIATE_FOLDER}/brain_mask.nii.gz", *transforms)


def write_intermediates(prepared: Prepared, out: OutputFolder) -> None:
    """Write the registered volumes and the brain at 1 mm, and the transforms in ITK's .tfm format.

    A transform maps points of the reference to points of its sequence, which is the direction needed to resample the
    sequence onto the reference. 3D Slicer applies it unchanged.

    Raises:
        OutputError: a file cannot be written.
    """
    grid = prepared.case.grid
    for modality in sort_modalities(prepared.registered):
        path = out.staged(f"{INTERMEDIATE_FOLDER}/{modality.value}_registered.nii.gz")
        write_image(path, prepared.registered[modality], f"{modality.label} registered to the reference, 1 mm")
    write_labels(out.staged(f"{INTERMEDIATE_FOLDER}/brain_mask.nii.gz"), prepared.brain.data.astype(np.uint8), grid)
    for modality, matrix in prepared.transforms.items():
        _write_transform(out.staged(f"{INTERMEDIATE_FOLDER}/{_transform_name(modality)}"), matrix)


def _transform_name(modality: Modality) -> str:
    return f"{modality.value}_to_reference.tfm"


def _write_transform(path: Path, matrix: npt.NDArray[np.float64]) -> None:
    with convert_output_errors(path):
        sitk.WriteTransform(build_transform(matrix), str(path))
