"""Write intermediate volumes of raw scans: registered volumes, brain mask, transforms."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk  # noqa: N813 (the usual abbreviation)

from brats_mm.domain.availability import ordered
from brats_mm.domain.modality import Modality
from brats_mm.domain.options import INTERMEDIATE_FOLDER
from brats_mm.outputs.folder import OutputFolder, output_errors
from brats_mm.outputs.nifti import write_labels
from brats_mm.outputs.registered import write_image
from brats_mm.preprocessing.itk_volume import transform_of
from brats_mm.preprocessing.scans import Prepared


def intermediate_names(prepared: Prepared) -> tuple[str, ...]:
    """Return the file names, relative to the results folder."""
    volumes = [f"{INTERMEDIATE_FOLDER}/{modality.value}_registered.nii.gz" for modality in ordered(prepared.registered)]
    transforms = [f"{INTERMEDIATE_FOLDER}/{_transform_name(modality)}" for modality in ordered(prepared.transforms)]
    return (*volumes, f"{INTERMEDIATE_FOLDER}/brain_mask.nii.gz", *transforms)


def write_intermediates(prepared: Prepared, out: OutputFolder) -> None:
    """Write the registered volumes and the brain at 1 mm, and the transforms in ITK's .tfm format.

    A transform maps points of the reference to points of its sequence, which is the direction needed to resample the
    sequence onto the reference. 3D Slicer applies it unchanged.

    Raises:
        OutputError: a file cannot be written.
    """
    grid = prepared.case.grid
    for modality in ordered(prepared.registered):
        place = out.staged(f"{INTERMEDIATE_FOLDER}/{modality.value}_registered.nii.gz")
        write_image(place, prepared.registered[modality], f"{modality.label} registered to the reference, 1 mm")
    write_labels(out.staged(f"{INTERMEDIATE_FOLDER}/brain_mask.nii.gz"), prepared.brain.data.astype(np.uint8), grid)
    for modality, matrix in prepared.transforms.items():
        _write_transform(out.staged(f"{INTERMEDIATE_FOLDER}/{_transform_name(modality)}"), matrix)


def _transform_name(modality: Modality) -> str:
    return f"{modality.value}_to_reference.tfm"


def _write_transform(path: Path, matrix: npt.NDArray[np.float64]) -> None:
    with output_errors(path):
        sitk.WriteTransform(transform_of(matrix), str(path))
