"""Segment a case with the sequences it has: the one way that command line, service, Slicer and Python take."""

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from brats_mm.domain.case import Case, Scans
from brats_mm.domain.prediction import Prediction
from brats_mm.domain.preprocessing import PreprocessingOptions
from brats_mm.errors import OptionError
from brats_mm.inference.choice import choose_backend
from brats_mm.inference.engine import Progress, WindowSettings
from brats_mm.inference.predictor import Predictor
from brats_mm.io.bundle import open_bundle
from brats_mm.io.case import case_of, read_case
from brats_mm.io.recognise import recognise
from brats_mm.outputs.folder import OutputFolder
from brats_mm.outputs.notebook_view import show
from brats_mm.outputs.results import OutputOptions as OutputOptions  # noqa: PLC0414 (handed on to callers)
from brats_mm.outputs.results import refuse_to_replace, write_results, written_names
from brats_mm.pipeline.load import CaseSource as CaseSource  # noqa: PLC0414 (handed on to callers)
from brats_mm.pipeline.load import load, refuse_to_replace_intermediates
from brats_mm.pipeline.network import load_network
from brats_mm.preprocessing.scans import OnStep

DEVICES = ("auto", "cpu", "cuda")


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

    def predict(
        self,
        source: CaseSource,
        *,
        preparation: PreprocessingOptions | None = None,
        on_window: Progress | None = None,
        on_step: OnStep | None = None,
    ) -> Prediction:
        """Segment a case; nothing is written.

        Args:
            source: the case. Raw scans are recognised and prepared; a `Case` is taken as it is.
            preparation: what raw scans are prepared to, and whether they are recognised at all.
            on_window: progress of the network.
            on_step: told of each step of a preparation.

        Returns:
            The prediction on the input's grid; for raw scans, on the grid of the reference sequence.

        Raises:
            InputError: the case cannot be used; the message says why and what to do.
        """
        loaded = load(source, preparation, on_step=on_step)
        return replace(loaded.back(self.predictor.predict(loaded.case, on_window=on_window)), viewer=show)


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
    """Recognise and read a case whose sequences are prepared, unless it is one already."""
    if isinstance(source, Case):
        return source
    return case_of(source) if isinstance(source, Scans) else read_case(recognise(source))


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
    preparation: PreprocessingOptions | None = None,
    on_window: Progress | None = None,
    on_step: OnStep | None = None,
) -> Segmented:
    """Segment a case and write every output into a folder, all or nothing; arguments as of `Segmenter.predict`.

    The folder is claimed before anything is computed, so that a place that cannot be written to is said at once.

    Raises:
        InputError: the case or the folder cannot be used; nothing is left half-written.
    """
    chosen = options or OutputOptions()
    refuse_to_replace(folder, chosen)
    refuse_to_replace_intermediates(folder, preparation, overwrite=chosen.overwrite)
    with OutputFolder(folder) as out:
        start = time.perf_counter()
        loaded = load(source, preparation, on_step=on_step)
        spent = {"read": time.perf_counter() - start, **loaded.seconds}
        prediction = loaded.back(segmenter.predictor.predict(loaded.case, on_window=on_window))
        loaded.write(out)
        report = write_results(prediction, out, chosen, seconds={**spent, **prediction.run.seconds})
    names = (*written_names(chosen, prediction, report), *loaded.extra_names)
    files = tuple(folder / name for name in names)
    return Segmented(replace(prediction, viewer=show), files, report)
