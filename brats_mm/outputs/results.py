"""The files of a segmented case: which there are, and writing them at the same time as one another."""

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brats_mm.domain.availability import ALL_AVAILABLE, Availability, ordered
from brats_mm.domain.entropy import MAX_BINARY_NATS, MAX_COMPARTMENT_NATS
from brats_mm.domain.prediction import Prediction
from brats_mm.domain.regions import REGIONS, LabelConvention
from brats_mm.domain.volume import Array
from brats_mm.errors import GridError, OptionError, OutputError, VolumeError
from brats_mm.outputs.folder import OutputFolder, output_errors
from brats_mm.outputs.nifti import write_labels, write_map
from brats_mm.outputs.report.document import importance_of, report_of
from brats_mm.outputs.seg_nrrd import write_segmentation

if TYPE_CHECKING:
    from brats_mm.outputs.dicom.results import DicomOutput

WRITERS = min(4, os.cpu_count() or 1)
"""Threads that write a case's files; compression and arithmetic run outside Python's lock."""

DICOM_WRITTEN = "dicom_results_written"
"""Key of `report.json` where DICOM results were asked for: false if the headers of the series do not allow them."""


@dataclass(frozen=True)
class OutputOptions:
    """What to write.

    Attributes:
        convention: label values.
        probabilities: also `probability_{wt,tc,et}.nii.gz`.
        importance_maps: also `importance_<sequence>_<region>.nii.gz`.
        preview: `preview.png`.
        scene: also `scene.mrb`, for 3D Slicer.
        report: `report.html`, a page to read and to print.
        dicom: DICOM objects, where wanted, and what they are derived from.
        overwrite: replace files of the same names; otherwise their presence is an error.
    """

    convention: LabelConvention = LabelConvention.BRATS2023
    probabilities: bool = False
    importance_maps: bool = False
    preview: bool = True
    report: bool = False
    scene: bool = False
    dicom: "DicomOutput | None" = None
    overwrite: bool = False

    def names(self, available: Availability) -> tuple[str, ...]:
        """The files that will be written for a case with these sequences."""
        names = ["segmentation.nii.gz", "segmentation.seg.nrrd", "entropy.nii.gz", "importance.json", "report.json"]
        names += [f"entropy_{region.value}.nii.gz" for region in REGIONS]
        if self.probabilities:
            names += [f"probability_{region.value}.nii.gz" for region in REGIONS]
        if self.importance_maps:
            names += [f"importance_{m.value}_{region.value}.nii.gz" for m in ordered(available) for region in REGIONS]
        if self.preview:
            names.append("preview.png")
        if self.report:
            names.append("report.html")
        if self.scene:
            names.append("scene.mrb")
        if self.dicom is not None:
            names += self.dicom.names
        return tuple(sorted(names))


def refuse_to_replace(folder: Path, options: OutputOptions) -> None:
    """Results never take the place of files that are there, unless that was asked for."""
    if options.overwrite:
        return
    with output_errors(folder):
        present = [name for name in options.names(ALL_AVAILABLE) if (folder / name).exists()]
    if present:
        message = (
            f"The folder {folder} already holds {', '.join(present[:3])}{' and more' if len(present) > 3 else ''}. "
            "Choose another folder, or replace them with --overwrite."
        )
        raise OutputError(message)


def possible(options: OutputOptions, prediction: Prediction) -> OutputOptions:
    """The options without maps of importance where the model does not weigh its sequences."""
    return options if prediction.importance.known else replace(options, importance_maps=False)


def written_names(options: OutputOptions, prediction: Prediction, report: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the files that `write_results` wrote."""
    written = possible(options, prediction)
    if not report.get(DICOM_WRITTEN, True):
        written = replace(written, dicom=None)
    return written.names(prediction.case.available)


def write_results(
    prediction: Prediction, out: OutputFolder, options: OutputOptions, *, seconds: Mapping[str, float]
) -> dict[str, Any]:
    """Write all files of a prediction into a folder that was opened for it.

    Args:
        prediction: what to write.
        out: an open output folder; nothing shows in it before its block ends.
        options: which files.
        seconds: of the stages before.

    Returns:
        The content of `report.json`, whose seconds have a stage `write` too.

    Raises:
        OutputError: a file cannot be written; the others are finished or given up by then.
    """
    start = time.perf_counter()
    options = possible(options, prediction)
    jobs = list(_volume_jobs(prediction, out, options))
    with ThreadPoolExecutor(WRITERS, thread_name_prefix="write") as pool:
        written = [pool.submit(job) for job in jobs]
        try:
            report = report_of(prediction, options.convention, seconds={})
            if options.scene:
                from brats_mm.outputs.scene.write import write_scene

                scene = partial(write_scene, out.staged("scene.mrb"), prediction, options.convention)
                written.append(pool.submit(scene, report["uncertain_spots"]))
            if options.dicom is not None:
                faults = _try_dicom(prediction, out, options.dicom)
                report[DICOM_WRITTEN] = not faults
                report["warnings"] += faults
            importance = importance_of(prediction)
            _write_json(out.staged("importance.json"), importance)
            if options.preview:
                from brats_mm.outputs.preview.picture import write_preview

                write_preview(out.staged("preview.png"), prediction)
            if options.report:
                from brats_mm.outputs.report.write import page_of_prediction

                out.staged("report.html").write_text(page_of_prediction(prediction, report, importance), "utf-8")
            for one in written:
                one.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    spent = {**seconds, "write": time.perf_counter() - start}
    report["run"]["seconds"] = {stage: round(value, 3) for stage, value in spent.items()}
    _write_json(out.staged("report.json"), report)
    return report


def _try_dicom(prediction: Prediction, out: OutputFolder, wanted: "DicomOutput") -> list[str]:
    """Write the DICOM objects. A fault of their headers is a warning, so that the other results are kept."""
    from brats_mm.outputs.dicom.results import write_dicom

    try:
        write_dicom(prediction, out, wanted)
    except (VolumeError, GridError, OptionError) as fault:
        return [f"The DICOM results were not written. {fault}"]
    return []


def _volume_jobs(prediction: Prediction, out: OutputFolder, options: OutputOptions) -> Iterator[Callable[[], None]]:
    """What to do for each volume file, the longest first."""
    grid = prediction.case.grid

    def store(name: str, compute: Callable[[], Array], description: str, maximum: float) -> None:
        write_map(out.staged(f"{name}.nii.gz"), compute(), grid, description=description, maximum=maximum)

    def store_labels() -> None:
        labels = prediction.labels(options.convention)
        write_labels(out.staged("segmentation.nii.gz"), labels, grid)
        write_segmentation(out.staged("segmentation.seg.nrrd"), labels, grid, options.convention)

    most = f"entropy of compartment, nats, 0 to ln 4 = {MAX_COMPARTMENT_NATS:.4f}"
    yield partial(store, "entropy", prediction.combined_entropy, most, MAX_COMPARTMENT_NATS)
    for region in REGIONS:
        said = f"entropy {region.value.upper()}, nats, 0 to ln 2 = {MAX_BINARY_NATS:.4f}"
        yield partial(store, f"entropy_{region.value}", partial(prediction.entropy, region), said, MAX_BINARY_NATS)
    yield store_labels
    for name, data, said in _shares(prediction, options):
        yield partial(store, name, partial(_itself, data), said, 1.0)


def _shares(prediction: Prediction, options: OutputOptions) -> Iterator[tuple[str, Array, str]]:
    """Name, values and meaning of the maps from 0 to 1 that were asked for."""
    if options.probabilities:
        for region in REGIONS:
            said = f"probability {region.value.upper()}, 0 to 1"
            yield f"probability_{region.value}", prediction.probabilities[region], said
    if options.importance_maps:
        for modality, regions in (prediction.importance.maps or {}).items():
            for region, weights in regions.items():
                said = f"gate weight of {modality.label} for {region.value.upper()}, 0 to 1"
                yield f"importance_{modality.value}_{region.value}", weights, said


def _itself(data: Array) -> Array:
    return data


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
