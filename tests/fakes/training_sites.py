"""Training plans on synthetic heads, like those that a site makes from its labels."""

from pathlib import Path

import nibabel as nib
import numpy as np

from brats_mm.data.phantom.head import make_phantom
from brats_mm.learning.plan import FineTuning, PlannedCase, TrainingPlan

SMALL = {
    "device": "cpu",
    "window": [48, 48, 48],
    "validation_window": [48, 48, 48],
    "learning_rate": 0.01,
    "epochs": 3,
    "check_cases": False,
}


def planned(folder: Path, name: str, use: str, seed: int) -> PlannedCase:
    """A synthetic head with its true label."""
    phantom = make_phantom(seed, (64, 72, 56))
    (folder / name).mkdir(parents=True)
    for modality, volume in phantom.images.items():
        image = nib.Nifti1Image(volume.data.astype(np.float32), volume.grid.affine)
        nib.save(image, folder / name / f"{modality.value}.nii.gz")
    affine = next(iter(phantom.images.values())).grid.affine
    nib.save(nib.Nifti1Image(phantom.labels, affine), folder / name / "labels.nii.gz")
    sequences = {modality.value: f"{name}/{modality.value}.nii.gz" for modality in phantom.images}
    return PlannedCase(name, use, sequences, f"{name}/labels.nii.gz")


def plan_of(folder: Path, seed: int) -> TrainingPlan:
    """A plan with one synthetic head to train on, and another to evaluate on."""
    cases = (planned(folder, "one", "training", seed), planned(folder, "two", "held_out", seed + 1))
    return TrainingPlan("0.8.0+site.1", "0.8.0", FineTuning(batch=1), cases)
