"""Segment a case with the sequences it has: the one way that command line, service, Slicer and Python take."""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from brats_mm.domain.availability import ALL_AVAILABLE, Availability, ordered
from brats_mm.domain.case import Case
from brats_mm.domain.entropy import MAX_BINARY_NATS, MAX_COMPARTMENT_NATS
from brats_mm.domain.prediction import Prediction
from brats_mm.domain.regions import REGIONS, LabelConvention
from brats_mm.errors import OptionError, OutputError
from brats_mm.inference.engine import Progress, WindowSettings
from brats_mm.inference.predictor import Predictor
from brats_mm.io.bundle import open_bundle
from brats_mm.io.bundle_network import load_network
from brats_mm.io.case import read_case
from brats_mm.io.nifti import write_labels, write_map
from brats_mm.io.output_folder import OutputFolder
from brats_mm.io.report import importance_of, report_of
from brats_mm.io.segmentation_nrrd import write_segmentation
from brats_mm.usecases.recognise import FilesSource, recognise

DEVICES = ("auto", "cpu", "cuda")

CaseSource = FilesSource | Case
"""A folder, a mapping from sequence to file, files already recognised, or a case already read."""


@dataclass(frozen=True)
class OutputOptions:
    """What to write.

    Attributes:
        convention: label values.
        probabilities: also `probability_{wt,tc,et}.nii.gz`.
        importance_maps: also `importance_<sequence>_<region>.nii.gz`.
        preview: `preview.png`.
        overwrite: replace files of the same names; otherwise their presence is an error.
    """

    convention: LabelConvention = LabelConvention.BRATS2023
    probabilities: bool = False
    importance_maps: bool = False
    preview: bool = True
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
        return tuple(sorted(names))


@dataclass(frozen=True, eq=False)
class Segmenter:
    """A loaded model that segments cases.

    >>> Segmenter.from_bundle().predict({"t1ce": "a.nii.gz", "flair": "b.nii.gz"})  # doctest: +SKIP
    """

    predictor: Predictor

    @classmethod
    def from_bundle(
        cls, bundle: Path | str | None = None, *, device: str = "auto", settings: WindowSettings | None = None
    ) -> "Segmenter":
        """Load a bundle; the one that comes with the package when none is named.

        Raises:
            BundleError: the bundle is absent or damaged.
            OptionError: there is no such device here.
        """
        target = choose_device(device)
        network, identity = load_network(open_bundle(bundle))
        return cls(Predictor(network.to(target), identity, target, settings or WindowSettings()))

    def predict(self, source: CaseSource, *, on_window: Progress | None = None) -> Prediction:
        """Segment a case; nothing is written.

        Raises:
            InputError: the case cannot be used; the message says why and what to do.
        """
        return self.predictor.predict(load_case(source), on_window=on_window)


def choose_device(name: str) -> torch.device:
    """The device of that name; `auto` is the GPU when there is one.

    Raises:
        OptionError: the name is unknown, or PyTorch sees no GPU.
    """
    kind = name.split(":", maxsplit=1)[0]
    if kind not in DEVICES:
        message = f"The device is {name!r}; it must be auto, cpu, cuda or cuda:N."
        raise OptionError(message)
    if kind == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if kind == "cuda" and not torch.cuda.is_available():
        message = (
            "The device cuda was asked for, but PyTorch sees no GPU here. Use --device cpu, or install a CUDA build."
        )
        raise OptionError(message)
    return torch.device(name)


def load_case(source: CaseSource) -> Case:
    """Recognise and read a case, unless it is one already."""
    return source if isinstance(source, Case) else read_case(recognise(source))


@dataclass(frozen=True, eq=False)
class Segmented:
    """A prediction and the files it was written to."""

    prediction: Prediction
    files: tuple[Path, ...]
    report: dict[str, Any]


def segment_to_folder(
    source: CaseSource,
    folder: Path,
    segmenter: Segmenter,
    options: OutputOptions | None = None,
    *,
    on_window: Progress | None = None,
) -> Segmented:
    """Segment a case and write every output into a folder, all or nothing.

    The folder is claimed before anything is computed, so that a place that cannot be written to is said at once.

    Raises:
        InputError: the case or the folder cannot be used; nothing is left half-written.
    """
    chosen = options or OutputOptions()
    _refuse_to_replace(folder, chosen)
    with OutputFolder(folder) as out:
        start = time.perf_counter()
        case = load_case(source)
        read_s = time.perf_counter() - start
        prediction = segmenter.predict(case, on_window=on_window)
        start = time.perf_counter()
        _write_volumes(prediction, out, chosen)
        if chosen.preview:
            from brats_mm.io.preview import write_preview

            write_preview(out.staged("preview.png"), prediction)
        _write_json(out.staged("importance.json"), importance_of(prediction))
        seconds = {"read": read_s, **prediction.run.seconds, "write": time.perf_counter() - start}
        report = report_of(prediction, chosen.convention, seconds=seconds)
        _write_json(out.staged("report.json"), report)
    files = tuple(folder / name for name in chosen.names(case.available))
    return Segmented(prediction, files, report)


def _refuse_to_replace(folder: Path, options: OutputOptions) -> None:
    """Results never take the place of files that are there, unless that was asked for."""
    if options.overwrite:
        return
    present = [name for name in options.names(ALL_AVAILABLE) if (folder / name).exists()]
    if present:
        message = (
            f"The folder {folder} already holds {', '.join(present[:3])}{' and more' if len(present) > 3 else ''}. "
            "Choose another folder, or replace them with --overwrite."
        )
        raise OutputError(message)


def _write_volumes(prediction: Prediction, out: OutputFolder, options: OutputOptions) -> None:
    grid, labels = prediction.case.grid, prediction.labels(options.convention)
    write_labels(out.staged("segmentation.nii.gz"), labels, grid)
    write_segmentation(out.staged("segmentation.seg.nrrd"), labels, grid, options.convention)
    for region in REGIONS:
        write_map(
            out.staged(f"entropy_{region.value}.nii.gz"),
            prediction.entropy(region),
            grid,
            description=f"entropy {region.value.upper()}, nats, 0 to ln 2 = {MAX_BINARY_NATS:.4f}",
            maximum=MAX_BINARY_NATS,
        )
        if options.probabilities:
            write_map(
                out.staged(f"probability_{region.value}.nii.gz"),
                prediction.probabilities[region],
                grid,
                description=f"probability {region.value.upper()}, 0 to 1",
                maximum=1.0,
            )
    write_map(
        out.staged("entropy.nii.gz"),
        prediction.combined_entropy(),
        grid,
        description=f"entropy of compartment, nats, 0 to ln 4 = {MAX_COMPARTMENT_NATS:.4f}",
        maximum=MAX_COMPARTMENT_NATS,
    )
    if options.importance_maps:
        _write_importance_maps(prediction, out)


def _write_importance_maps(prediction: Prediction, out: OutputFolder) -> None:
    for modality, regions in (prediction.importance.maps or {}).items():
        for region, weights in regions.items():
            write_map(
                out.staged(f"importance_{modality.value}_{region.value}.nii.gz"),
                weights,
                prediction.case.grid,
                description=f"gate weight of {modality.label} for {region.value.upper()}, 0 to 1",
                maximum=1.0,
            )


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
