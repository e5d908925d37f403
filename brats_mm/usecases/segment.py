"""Segment a case with the sequences it has: the one way that command line, service, Slicer and Python take."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from brats_mm.domain.case import Case
from brats_mm.domain.prediction import Prediction
from brats_mm.errors import OptionError
from brats_mm.inference.choice import choose_backend
from brats_mm.inference.engine import Progress, WindowSettings
from brats_mm.inference.predictor import Predictor
from brats_mm.io.bundle import open_bundle
from brats_mm.io.bundle_network import load_network
from brats_mm.io.case import read_case
from brats_mm.io.output_folder import OutputFolder
from brats_mm.usecases.recognise import FilesSource, recognise
from brats_mm.usecases.results import OutputOptions as OutputOptions  # noqa: PLC0414 (handed on to callers)
from brats_mm.usecases.results import refuse_to_replace, write_results

DEVICES = ("auto", "cpu", "cuda")

CaseSource = FilesSource | Case
"""A folder, a mapping from sequence to file, files already recognised, or a case already read."""


@dataclass(frozen=True, eq=False)
class Segmenter:
    """A loaded model that segments cases.

    >>> Segmenter.from_bundle().predict({"t1ce": "a.nii.gz", "flair": "b.nii.gz"})  # doctest: +SKIP
    """

    predictor: Predictor

    @classmethod
    def from_bundle(
        cls,
        bundle: Path | str | None = None,
        *,
        device: str = "auto",
        backend: str = "auto",
        settings: WindowSettings | None = None,
    ) -> "Segmenter":
        """Load a bundle; the one that comes with the package when none is named.

        Args:
            bundle: its folder.
            device: `auto`, `cpu`, `cuda` or `cuda:N`.
            backend: `auto`, `torch` or `openvino`; see `inference.choice`.
            settings: how the brain's box is walked.

        Raises:
            BundleError: the bundle is absent or damaged.
            OptionError: there is no such device or backend here.
        """
        target = choose_device("cpu" if (device, backend) == ("auto", "openvino") else device)
        network, identity = load_network(open_bundle(bundle))
        chosen = choose_backend(backend, network, target, weights_sha256=identity.weights_sha256)
        return cls(Predictor(network, identity, target, settings or WindowSettings(), chosen))

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
    refuse_to_replace(folder, chosen)
    with OutputFolder(folder) as out:
        start = time.perf_counter()
        case = load_case(source)
        read_s = time.perf_counter() - start
        prediction = segmenter.predict(case, on_window=on_window)
        report = write_results(prediction, out, chosen, seconds={"read": read_s, **prediction.run.seconds})
    files = tuple(folder / name for name in chosen.names(case.available))
    return Segmented(prediction, files, report)
