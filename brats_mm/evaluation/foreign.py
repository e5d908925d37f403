"""Score label maps of another program in the same way as predictions of a model."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from brats_mm.domain.availability import Availability, format_subset, sort_modalities
from brats_mm.domain.case import Case
from brats_mm.domain.label_scheme import LabelScheme
from brats_mm.domain.prediction import NO_IMPORTANCE, ModelIdentity, Prediction, Run
from brats_mm.errors import CaseError
from brats_mm.evaluation.case import SetPredictor
from brats_mm.evaluation.markdown import UNKNOWN
from brats_mm.io.reference_labels import read_reference, warn_about_offset

SUFFIXES = (".nii.gz", ".nii")

RUN = Run(device="unknown", backend="label maps", window=(0, 0, 0), windows=0, seconds={})


def make_label_map_predictor(
    folder: Path, *, scheme: LabelScheme = LabelScheme.BRATS2023, name: str | None = None
) -> SetPredictor:
    """Score the label maps of a folder.

    `FOLDER/<case>.nii.gz` is the prediction from all sequences of the case, and `FOLDER/t1ce+flair/<case>.nii.gz` is
    that from a subset. Label maps have no probabilities, so calibration and uncertainty in the tables are those of a
    prediction that is always certain.

    Args:
        folder: folder of the predictions, which are on the grids of the cases.
        scheme: label scheme of the predictions.
        name: name of the method for the tables. Defaults to the name of the folder.

    Raises:
        CaseError: the folder does not exist.
    """
    if not folder.is_dir():
        raise CaseError(f"There is no folder {folder}. Set --predictions to a folder with one label map per case.")
    model = ModelIdentity(name or folder.resolve().name, UNKNOWN, "", 0)

    def predict(case: Case, subsets: Sequence[Availability]) -> Iterable[Prediction]:
        maps = [(subset, path) for subset in subsets if (path := _find_map(folder, case, subset)) is not None]
        if not maps:
            raise CaseError(
                f"{folder} has no prediction of {case.name}. Add {case.name}.nii.gz, or a file in a folder of a "
                f"subset, such as {format_subset(case.available)}/{case.name}.nii.gz."
            )
        for subset, path in maps:
            masks = read_reference(path, case.grid, scheme)
            volumes = {modality: case.volumes[modality] for modality in sort_modalities(subset)}
            probabilities = {region: np.asfortranarray(mask, np.float32) for region, mask in masks.items()}
            predicted = replace(case, volumes=volumes, warnings=warn_about_offset(path, case.grid))
            yield Prediction(predicted, probabilities, NO_IMPORTANCE, model, RUN)

    return SetPredictor(f"label maps of {model.name}, labels {scheme.value}", model, predict, whole_volume=True)


def _find_map(folder: Path, case: Case, subset: Availability) -> Path | None:
    folders = [folder / format_subset(subset)] + ([folder] if subset == case.available else [])
    files = (parent / f"{case.name}{suffix}" for parent in folders for suffix in SUFFIXES)
    return next((file for file in files if file.is_file()), None)
