"""Segment a case in five stages: load, preprocess, predict, restore, write.

Heavy imports are inside functions, so an invalid request fails before torch is loaded.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brats_mm.domain.availability import sort_modalities
from brats_mm.domain.case import Case, Scans
from brats_mm.domain.input_kind import InputKind, recognise_kind
from brats_mm.domain.modality import Modality
from brats_mm.domain.options import OutputOptions, PreprocessingOptions
from brats_mm.domain.prediction import Prediction
from brats_mm.domain.preprocessing import Preparation, count_steps
from brats_mm.domain.progress import OnProgress, ProgressMeter, Stage
from brats_mm.domain.sequence_names import ImageName, read_image_names
from brats_mm.domain.volume import Volume
from brats_mm.errors import GridError
from brats_mm.io.case import build_case
from brats_mm.io.memory import is_channel_image, split_channels
from brats_mm.io.volume import read_stored
from brats_mm.outputs.folder import OutputFolder
from brats_mm.pipeline.check import check
from brats_mm.pipeline.load import CaseSource, Loaded, load
from brats_mm.pipeline.request import SegmentRequest, make_request

if TYPE_CHECKING:
    from monai.data import MetaTensor

    from brats_mm.inference.engine import Progress
    from brats_mm.inference.predictor import Predictor
    from brats_mm.inference.prepare import ModelInput
    from brats_mm.outputs.dicom.results import DicomOutput
    from brats_mm.pipeline.segmenter import Segmenter
    from brats_mm.preprocessing.scans import OnStep, Prepared


@dataclass(frozen=True, eq=False)
class Extras:
    """Additional outputs besides the prediction.

    Attributes:
        registered: raw scans to write on the grid of the results. None for prepared input.
        intermediates: also write the registered volumes on the working grid, the brain mask and the transforms.
        dicom: settings and sources of DICOM results. None if none were requested.
        images: DICOM series to write as volumes, because viewers cannot show results on a series.
    """

    registered: "Prepared | None" = None
    intermediates: bool = False
    dicom: "DicomOutput | None" = None
    images: Mapping[Modality, Volume] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Preprocessed:
    """A case ready for the network.

    Attributes:
        case: the sequences on one grid, skull-stripped.
        model_input: the sequences on the model's grid.
        prepared: preprocessing of raw scans. None for prepared input.
        extras: additional outputs.
        seconds: seconds per stage so far.
    """

    case: Case
    model_input: "ModelInput"
    prepared: "Prepared | None" = None
    extras: Extras = field(default_factory=Extras)
    seconds: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Segmented:
    """A prediction, and the files it was written to."""

    prediction: Prediction
    files: tuple[Path, ...]
    report: dict[str, Any]


def segment(
    request: SegmentRequest,
    segmenter: "Segmenter | Callable[[], Segmenter] | None" = None,
    *,
    on_load: Callable[[Loaded], None] | None = None,
    on_progress: OnProgress | None = None,
) -> Segmented:
    """Segment a case and write all outputs into a folder, or nothing on failure.

    Args:
        request: input, output folder and options.
        segmenter: the loaded model, or a function that loads it once the input has been read. Defaults to the model of
            the request.
        on_load: called with the loaded case.
        on_progress: called with the progress over all stages. It can raise `Cancelled` to stop.

    Raises:
        InputError: the case or the output folder cannot be used. No partial results remain.
    """
    folder = check(request)
    meter = ProgressMeter(on_progress or (lambda _: None))
    with OutputFolder(folder) as out:
        meter.start(Stage.READING)
        loaded = load(request)
        if on_load is not None:
            on_load(loaded)
        model = segmenter() if callable(segmenter) else segmenter or _load_model(request)
        meter.start(Stage.PREPROCESSING)
        planned = count_steps(len(loaded.case.volumes), n4=request.preprocessing.n4)
        on_step = partial(meter.on_raw_step, planned=planned)
        ready = preprocess(loaded, request.preprocessing, spacing_mm=model.spacing_mm, on_step=on_step)
        meter.start(Stage.SEGMENTING)
        prediction = predict(ready, model, request.outputs, on_window=meter.on_window)
        meter.start(Stage.WRITING)
        prediction = restore(prediction, ready)
        report, files = write(prediction, out, request.outputs, ready.extras)
    meter.finish()
    from brats_mm.outputs.prediction_tools import TOOLS

    return Segmented(replace(prediction, tools=TOOLS), files, report)


def preprocess(
    loaded: Loaded, options: PreprocessingOptions, *, spacing_mm: float = 1.0, on_step: "OnStep | None" = None
) -> Preprocessed:
    """Prepare a loaded case for the network.

    Raw scans are registered, resampled to 1 mm and skull-stripped. Prepared input and a `Case` are used unchanged.

    Args:
        loaded: result of `load`.
        options: preprocessing options.
        spacing_mm: voxel size of the model.
        on_step: called for each step.

    Raises:
        InputError: the case cannot be used.
    """
    from brats_mm.inference.prepare import prepare
    from brats_mm.trust.input_checks.check import find_input_warnings

    case, prepared = _put_on_one_grid(loaded, options, on_step)
    steps = {} if prepared is None or prepared.case.preparation is None else prepared.case.preparation.seconds
    start = time.perf_counter()
    case = replace(case, warnings=(*case.warnings, *find_input_warnings(case.volumes)))
    model_input = prepare(case, spacing_mm)
    seconds = {**loaded.seconds, **steps, "prepare": time.perf_counter() - start}
    moved = frozenset() if prepared is None else frozenset(prepared.transforms)
    images = {modality: loaded.case.volumes[modality] for modality in sort_modalities(loaded.series - moved)}
    extras = Extras(prepared, options.keep_intermediate, loaded.dicom, images)
    return Preprocessed(case, model_input, prepared, extras, seconds)


def load_case(source: "CaseSource | MetaTensor") -> Case:
    """Load a prepared case for bundle configs, whose outputs are on the grid of the input.

    Args:
        source: a case. A single file is used as the sequence in its name, because hosts such as MONAI Label pass one
            image. A (4, h, w, d) image in memory has a channel per sequence, as in `metadata.json`, because hosts such
            as MONAI Deploy pass such arrays.

    Raises:
        InputError: the case cannot be used, or its sequences have different grids.
    """
    case_source: CaseSource = split_channels(source) if is_channel_image(source) else _resolve_single_file(source)
    return _put_on_one_grid(load(make_request(case_source)), PreprocessingOptions(prepared=True), None)[0]


def _resolve_single_file(source: CaseSource) -> CaseSource:
    if not isinstance(source, str | Path) or not Path(source).is_file():
        return source
    reading = read_image_names([ImageName(Path(source).name.split(".nii")[0])], Path(source).parent.name)[0]
    return source if reading.modality is None else {reading.modality.value: source}


def _put_on_one_grid(
    loaded: Loaded, options: PreprocessingOptions, on_step: "OnStep | None"
) -> "tuple[Case, Prepared | None]":
    scans = loaded.case
    if isinstance(scans, Case):
        return scans, None
    kind = InputKind.RAW if options.raw else InputKind.PREPARED if options.prepared else None
    mask = None
    if options.brain_mask is not None:
        scans, mask = _apply_mask(scans, options)
    recognition = recognise_kind(scans.volumes, kind, tolerance=options.grid_tolerance)
    if recognition.kind is InputKind.PREPARED:
        case = build_case(scans, tolerance=options.grid_tolerance)
        return replace(case, preparation=Preparation(recognition)), None
    from brats_mm.preprocessing.scans import prepare_scans

    prepared = prepare_scans(scans, recognition, options, brain_mask=mask, on_step=on_step)
    return prepared.case, prepared


def _apply_mask(scans: Scans, options: PreprocessingOptions) -> tuple[Scans, Volume | None]:
    """Apply the mask if all grids agree, or else return it for the registered scans."""
    from brats_mm.preprocessing.brain_mask import binarise_mask, strip_scans

    assert options.brain_mask is not None
    mask = binarise_mask(read_stored(options.brain_mask))
    stripped = None if options.raw else strip_scans(scans, mask, options.grid_tolerance)
    if stripped is not None:
        return stripped, None
    if options.prepared:
        raise GridError(
            "The brain mask and the sequences have different grids. Resample the mask to their grid, or omit "
            "--prepared."
        )
    return scans, mask


def predict(
    ready: Preprocessed, segmenter: "Segmenter", options: OutputOptions, *, on_window: "Progress | None" = None
) -> Prediction:
    """Run the network on a preprocessed case. The result is on the grid of `ready.case`.

    Gate weights are kept as maps if `options` request them, or if the settings of the segmenter do.

    Args:
        ready: result of `preprocess`.
        segmenter: loaded model.
        options: files to write, which decide whether weight maps and leave-one-out results are needed.
        on_window: progress of the network.
    """
    predictor = segmenter.predictor
    if options.importance_maps:
        predictor = replace(predictor, settings=replace(predictor.settings, keep_weight_maps=True))
    if options.leave_one_out:
        prediction = _predict_with_changes(predictor, ready, on_window)
    else:
        prediction = predictor.predict(ready.case, on_window=on_window, prepared=ready.model_input)
    in_order = {**ready.seconds, **prediction.run.seconds}
    return _replace_seconds(prediction, {**in_order, **ready.seconds})


def _predict_with_changes(predictor: "Predictor", ready: Preprocessed, on_window: "Progress | None") -> Prediction:
    """Predict with all sequences and without each of them. Single-sequence experts run once."""
    from brats_mm.trust.leave_one_out import compare_left_out

    available = ready.case.available
    smaller_sets = {modality: available - {modality} for modality in sort_modalities(available) if len(available) > 1}
    predictions = predictor.predict_subsets(
        ready.case, [available, *smaller_sets.values()], on_window=on_window, prepared=ready.model_input
    )
    prediction = predictions[available]
    changes = compare_left_out(prediction, {modality: predictions[subset] for modality, subset in smaller_sets.items()})
    # Report the time of all subsets, because the user waits for all of them.
    run = replace(prediction.run, seconds=list(predictions.values())[-1].run.seconds)
    return replace(prediction, importance=replace(prediction.importance, left_out=changes), run=run)


def restore(prediction: Prediction, ready: Preprocessed) -> Prediction:
    """Return the prediction on the grid of the input, or of the reference sequence for raw scans."""
    if ready.prepared is None:
        return prediction
    from brats_mm.preprocessing.scans import to_native_grid

    start = time.perf_counter()
    native = to_native_grid(prediction, ready.prepared)
    return _replace_seconds(native, {**native.run.seconds, "to_native_grid": time.perf_counter() - start})


def write(
    prediction: Prediction, out: OutputFolder, options: OutputOptions, extras: Extras
) -> tuple[dict[str, Any], tuple[Path, ...]]:
    """Write all files of a prediction to an open output folder.

    Args:
        prediction: result of `restore`.
        out: open output folder. Files appear when its block ends.
        options: files to write.
        extras: additional outputs, from `Preprocessed`.

    Returns:
        The content of `report.json`, and the final paths of the files.

    Raises:
        OutputError: a file cannot be written.
    """
    from brats_mm.outputs.registered import (
        list_intermediate_names,
        list_registered_names,
        make_image_name,
        write_image,
        write_intermediates,
        write_registered,
    )
    from brats_mm.outputs.results import list_written_names, write_results

    more: tuple[str, ...] = tuple(map(make_image_name, extras.images))
    for modality, volume in extras.images.items():
        write_image(out.staged(make_image_name(modality)), volume, modality.label)
    if extras.registered is not None:
        write_registered(extras.registered, out)
        more = (*more, *list_registered_names(extras.registered))
        if extras.intermediates:
            write_intermediates(extras.registered, out)
            more = (*more, *list_intermediate_names(extras.registered))
    report = write_results(prediction, out, options, dicom=extras.dicom, seconds=prediction.run.seconds)
    return report, tuple(out.path / name for name in (*list_written_names(options, prediction, report), *more))


def _load_model(request: SegmentRequest) -> "Segmenter":
    from brats_mm.pipeline.segmenter import Segmenter

    return Segmenter.from_options(request.model)


def _replace_seconds(prediction: Prediction, seconds: Mapping[str, float]) -> Prediction:
    return replace(prediction, run=replace(prediction.run, seconds=seconds))
