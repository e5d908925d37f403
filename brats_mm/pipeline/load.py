"""Whatever a case is given as, made ready for the model, and the prediction brought back to where it belongs."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from brats_mm.domain.case import Case, Scans
from brats_mm.domain.input_kind import InputKind, recognise_kind
from brats_mm.domain.prediction import Prediction
from brats_mm.domain.preprocessing import Preparation, PreprocessingOptions
from brats_mm.errors import GridError, OutputError
from brats_mm.io.case import case_of, read_case, read_scans
from brats_mm.io.recognise import FilesSource, recognise
from brats_mm.io.volume import read_stored
from brats_mm.outputs.folder import OutputFolder
from brats_mm.outputs.intermediates import FOLDER, intermediate_names, write_intermediates
from brats_mm.outputs.registered import registered_names, write_registered
from brats_mm.pipeline.dicom_study import choose_series, is_dicom_folder, read_chosen
from brats_mm.preprocessing.brain_mask import binary_mask, strip_scans
from brats_mm.preprocessing.scans import OnStep, Prepared, back_on_reference, prepare_scans

CaseSource = FilesSource | Case | Scans
"""A folder, a mapping from sequence to file, files already recognised, scans already read, or a case ready as it is."""


@dataclass(frozen=True, eq=False)
class Loaded:
    """A case that the model can be given.

    Attributes:
        case: the sequences on one grid, skull-stripped.
        prepared: how raw scans became that; None for input that was left alone.
        seconds: seconds a stage so far.
        keep: whether intermediate volumes and transforms are to be written.
    """

    case: Case
    prepared: Prepared | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)
    keep: bool = False

    def back(self, prediction: Prediction) -> Prediction:
        """The prediction on the grid where results lie; itself for input that was left alone."""
        if self.prepared is None:
            return prediction
        begun = time.perf_counter()
        found = back_on_reference(prediction, self.prepared)
        seconds = {**found.run.seconds, "back": time.perf_counter() - begun}
        return replace(found, run=replace(found.run, seconds=seconds))

    @property
    def extra_names(self) -> tuple[str, ...]:
        """The files that `write` writes."""
        if self.prepared is None:
            return ()
        return (*registered_names(self.prepared), *(intermediate_names(self.prepared) if self.keep else ()))

    def write(self, out: OutputFolder) -> None:
        """Write raw scans on the grid of the results, and the intermediate volumes and transforms if asked for.

        Raises:
            OutputError: a file cannot be written.
        """
        if self.prepared is None:
            return
        write_registered(self.prepared, out)
        if self.keep:
            write_intermediates(self.prepared, out)


def load(source: CaseSource, options: PreprocessingOptions | None = None, *, on_step: OnStep | None = None) -> Loaded:
    """Read a case and make it ready: what is prepared already is left alone, raw scans are prepared.

    A `Case` is taken as it is.

    Raises:
        InputError: the case cannot be used; the message says why and what to do.
    """
    wanted = options or PreprocessingOptions()
    begun = time.perf_counter()
    if isinstance(source, Case):
        return Loaded(source)
    if isinstance(source, (str, Path)) and is_dicom_folder(Path(source)):
        source = read_chosen(choose_series(Path(source)))
    if not isinstance(source, Scans) and wanted.kind is InputKind.PREPARED and wanted.brain_mask is None:
        case = read_case(recognise(source), tolerance=wanted.grid_tolerance)
        recognition = recognise_kind(case.volumes, wanted.kind, tolerance=wanted.grid_tolerance)
        return Loaded(_told(case, Preparation(recognition)), seconds={"read": time.perf_counter() - begun})
    scans = source if isinstance(source, Scans) else read_scans(recognise(source))
    mask = None if wanted.brain_mask is None else binary_mask(read_stored(wanted.brain_mask))
    if mask is not None and wanted.kind is not InputKind.RAW:
        stripped = strip_scans(scans, mask, wanted.grid_tolerance)
        if stripped is None and wanted.kind is InputKind.PREPARED:
            message = (
                "The brain mask and the sequences do not lie on one grid. Resample the mask to their grid, or leave "
                "out --prepared."
            )
            raise GridError(message)
        scans, mask = (scans, mask) if stripped is None else (stripped, None)
    recognition = recognise_kind(scans.volumes, wanted.kind, tolerance=wanted.grid_tolerance)
    seconds = {"read": time.perf_counter() - begun}
    if recognition.kind is InputKind.PREPARED:
        return Loaded(_told(case_of(scans, tolerance=wanted.grid_tolerance), Preparation(recognition)), seconds=seconds)
    prepared = prepare_scans(scans, recognition, wanted, brain_mask=mask, on_step=on_step)
    assert prepared.case.preparation is not None
    return Loaded(prepared.case, prepared, {**seconds, **prepared.case.preparation.seconds}, wanted.keep_intermediate)


def _told(case: Case, preparation: Preparation) -> Case:
    return replace(case, preparation=preparation)


def refuse_to_replace_intermediates(folder: Path, options: PreprocessingOptions | None, *, overwrite: bool) -> None:
    """Intermediate files never take the place of files that are there, unless that was asked for.

    Raises:
        OutputError: there is such a folder already.
    """
    if options is not None and options.keep_intermediate and not overwrite and (folder / FOLDER).exists():
        message = (
            f"The folder {folder} already holds {FOLDER}. Choose another folder, or replace its files with --overwrite."
        )
        raise OutputError(message)
