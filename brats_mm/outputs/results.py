"""Write the files of a segmented case in parallel."""

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from brats_mm.domain.entropy import MAX_BINARY_NATS, MAX_COMPARTMENT_NATS
from brats_mm.domain.options import DICOM_WRITTEN, OutputOptions
from brats_mm.domain.prediction import Prediction
from brats_mm.domain.regions import COMPARTMENTS, REGIONS
from brats_mm.domain.volume import Array
from brats_mm.errors import GridError, OptionError, VolumeError
from brats_mm.outputs.folder import OutputFolder
from brats_mm.outputs.nifti import write_labels, write_map
from brats_mm.outputs.report.document import build_importance, build_report
from brats_mm.outputs.seg_nrrd import write_segmentation

if TYPE_CHECKING:
    from brats_mm.outputs.dicom.results import DicomOutput

WRITERS = min(4, os.cpu_count() or 1)
"""Threads that write a case's files. Compression and arithmetic release the GIL."""


def select_supported_outputs(options: OutputOptions, prediction: Prediction) -> OutputOptions:
    """Disable importance maps for a model without a gate."""
    return options if prediction.importance.known else replace(options, importance_maps=False)


def list_written_names(options: OutputOptions, prediction: Prediction, report: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the files that `write_results` wrote."""
    outputs = select_supported_outputs(options, prediction)
    if not report.get(DICOM_WRITTEN, True):
        outputs = replace(outputs, dicom=False, dicom_reference=None, deidentify=False, rtstruct=False)
    return outputs.names(prediction.case.available)


def write_results(
    prediction: Prediction,
    out: OutputFolder,
    options: OutputOptions,
    *,
    dicom: "DicomOutput | None" = None,
    seconds: Mapping[str, float],
) -> dict[str, Any]:
    """Write all files of a prediction into an open output folder.

    Args:
        prediction: the prediction.
        out: an open output folder. Files appear when its block ends.
        options: files to write.
        dicom: settings and sources of DICOM results. None writes no DICOM results.
        seconds: seconds per stage so far.

    Returns:
        The content of `report.json`, whose seconds include a stage `write`.

    Raises:
        OutputError: a file cannot be written.
    """
    start = time.perf_counter()
    options = select_supported_outputs(options, prediction)
    jobs = list(_plan_volume_jobs(prediction, out, options))
    with ThreadPoolExecutor(WRITERS, thread_name_prefix="write") as pool:
        futures = [pool.submit(job) for job in jobs]
        try:
            report = build_report(prediction, options.labels, seconds={})
            if options.scene:
                from brats_mm.outputs.scene.write import write_scene

                scene = partial(write_scene, out.staged("scene.mrb"), prediction, options.labels)
                futures.append(pool.submit(scene, report["uncertain_regions"]))
            if dicom is not None:
                faults = _try_dicom(prediction, out, dicom)
                report[DICOM_WRITTEN] = not faults
                report["warnings"] += faults
            importance = build_importance(prediction)
            _write_json(out.staged("importance.json"), importance)
            if options.preview:
                from brats_mm.outputs.preview.picture import write_preview

                write_preview(out.staged("preview.png"), prediction, report["warnings"])
            if options.report:
                from brats_mm.outputs.report.page import render_prediction_page

                out.staged("report.html").write_text(render_prediction_page(prediction, report, importance), "utf-8")
            for future in futures:
                future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    spent = {**seconds, "write": time.perf_counter() - start}
    report["run"]["seconds"] = {stage: round(value, 3) for stage, value in spent.items()}
    _write_json(out.staged("report.json"), report)
    return report


def _try_dicom(prediction: Prediction, out: OutputFolder, output: "DicomOutput") -> list[str]:
    """Write the DICOM objects. For an error in their headers, return a warning and keep the other results."""
    from brats_mm.outputs.dicom.results import write_dicom

    try:
        write_dicom(prediction, out, output)
    except (VolumeError, GridError, OptionError) as fault:
        return [f"The DICOM results were not written. {fault}"]
    return []


def _plan_volume_jobs(
    prediction: Prediction, out: OutputFolder, options: OutputOptions
) -> Iterator[Callable[[], None]]:
    """Return the tasks to write volume files, longest first."""
    grid = prediction.case.grid

    def store(name: str, compute: Callable[[], Array], description: str, maximum: float) -> None:
        write_map(out.staged(f"{name}.nii.gz"), compute(), grid, description=description, maximum=maximum)

    def store_labels() -> None:
        labels = prediction.labels(options.labels)
        write_labels(out.staged("segmentation.nii.gz"), labels, grid)
        write_segmentation(out.staged("segmentation.seg.nrrd"), labels, grid, options.labels)
        for region in REGIONS if options.masks else ():
            values = [options.labels.value_of(compartment) for compartment in COMPARTMENTS[region]]
            write_labels(out.staged(f"mask_{region.value}.nii.gz"), np.isin(labels, values).astype(np.uint8), grid)

    most = f"entropy of compartment, nats, 0 to ln 4 = {MAX_COMPARTMENT_NATS:.4f}"
    yield partial(store, "entropy", prediction.combined_entropy, most, MAX_COMPARTMENT_NATS)
    for region in REGIONS:
        comment = f"entropy {region.value.upper()}, nats, 0 to ln 2 = {MAX_BINARY_NATS:.4f}"
        yield partial(store, f"entropy_{region.value}", partial(prediction.entropy, region), comment, MAX_BINARY_NATS)
    yield store_labels
    for name, data, comment in _iterate_fraction_maps(prediction, options):
        yield partial(store, name, partial(np.asarray, data), comment, 1.0)


def _iterate_fraction_maps(prediction: Prediction, options: OutputOptions) -> Iterator[tuple[str, Array, str]]:
    """Return name, values and description of the requested maps from 0 to 1."""
    if options.probabilities:
        for region in REGIONS:
            description = f"probability {region.value.upper()}, 0 to 1"
            yield f"probability_{region.value}", prediction.probabilities[region], description
    if options.importance_maps:
        for modality, regions in (prediction.importance.maps or {}).items():
            for region, weights in regions.items():
                description = f"gate weight of {modality.label} for {region.value.upper()}, 0 to 1"
                yield f"importance_{modality.value}_{region.value}", weights, description


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
