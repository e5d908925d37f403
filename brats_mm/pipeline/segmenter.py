"""A loaded model that segments cases."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from brats_mm.domain.options import ModelOptions
from brats_mm.domain.prediction import Prediction
from brats_mm.errors import OptionError
from brats_mm.inference.choice import choose_backend
from brats_mm.inference.engine import PRESETS, Progress, WindowSettings
from brats_mm.inference.predictor import Predictor
from brats_mm.io.bundle import open_bundle
from brats_mm.outputs.prediction_tools import TOOLS
from brats_mm.pipeline.load import CaseSource, load
from brats_mm.pipeline.network import load_network
from brats_mm.pipeline.request import FIELDS, make_request
from brats_mm.pipeline.segment import predict, preprocess, restore
from brats_mm.preprocessing.scans import OnStep

_KEPT_IN_MEMORY = ("importance_maps", "leave_one_out")
"""Output options that change the prediction, not only its files."""


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
        trust_bundle: bool = False,
    ) -> "Segmenter":
        """Load a bundle, by default the installed one.

        Args:
            bundle: folder of the bundle.
            device: `auto`, `cpu`, `cuda` or `cuda:N`.
            backend: `auto`, `torch` or `openvino`. See `inference.choice`.
            settings: size and overlap of windows, and test-time augmentation.
            trust_bundle: run any code that the bundle's config refers to.

        Raises:
            BundleError: the bundle is missing or damaged, or refers to unknown code.
            OptionError: the device or backend is not available.
        """
        target = choose_device("cpu" if (device, backend) == ("auto", "openvino") else device)
        network, identity = load_network(open_bundle(bundle), trusted=trust_bundle)
        compute_backend = choose_backend(backend, network, target, weights_sha256=identity.weights_sha256)
        return cls(Predictor(network, identity, target, settings or WindowSettings(), compute_backend))

    @classmethod
    def from_options(cls, options: ModelOptions) -> "Segmenter":
        """Load the model of a request.

        Raises:
            BundleError: the bundle is missing or damaged.
            OptionError: the device or backend is not available.
        """
        settings = replace(PRESETS[options.preset], window=(options.window,) * 3, overlap=options.overlap)
        return cls.from_bundle(
            options.bundle,
            device=options.device,
            backend=options.backend,
            settings=settings,
            trust_bundle=options.trust_bundle,
        )

    @property
    def spacing_mm(self) -> float:
        """Voxel size of the model in millimetres."""
        return self.predictor.model.spacing_mm

    def predict(
        self,
        source: CaseSource | None = None,
        *,
        on_step: OnStep | None = None,
        on_window: Progress | None = None,
        **options: Any,
    ) -> Prediction:
        """Segment a case without writing files.

        >>> Segmenter.from_bundle().predict(t1c=nib.load("a.nii.gz"), flair=(array, affine))  # doctest: +SKIP

        Args:
            source: folder, zip or DICOM study, a mapping from sequence to file or in-memory image (nibabel, SimpleITK,
                MONAI's `MetaTensor`, or a pair (array, affine)), or a loaded case.
            on_step: called for each preprocessing step.
            on_window: progress of the network.
            options: sequences, and the options of `brats-mm segment` that select and preprocess the input, such as
                `series`, `raw`, `reference`, `n4`. Also `importance_maps` and `leave_one_out`.

        Returns:
            The prediction on the grid of the input, or of the reference sequence for raw scans.

        Raises:
            InputError: the case cannot be used.
            OptionError: an option is unknown, or concerns the model or the files to write.
        """
        _check_used(options)
        request = make_request(source, **options)
        ready = preprocess(load(request), request.preprocessing, spacing_mm=self.spacing_mm, on_step=on_step)
        prediction = predict(ready, self, request.outputs, on_window=on_window)
        return replace(restore(prediction, ready), tools=TOOLS)


def _check_used(options: Mapping[str, Any]) -> None:
    """Raise an error for options of `brats-mm segment` that `Segmenter.predict` would ignore.

    Raises:
        OptionError: an option concerns the model or the files to write.
    """
    of_model = {name for name, (section, _) in FIELDS.items() if section == "model"}
    of_model |= FIELDS["preset"][1].offer.flags.keys()
    of_files = {name for name, (section, _) in FIELDS.items() if section == "outputs"} | {"output", "keep_intermediate"}
    for name in options:
        if name in of_model:
            raise OptionError(
                f"predict does not accept {name}, because the model is already loaded. Pass it to "
                "Segmenter.from_options."
            )
        if name in of_files - {*_KEPT_IN_MEMORY}:
            raise OptionError(
                f"predict writes no files, so it does not accept {name}. Use Prediction.save, or brats-mm segment."
            )


def choose_device(name: str) -> torch.device:
    """Return the device with the given name. `auto` selects the GPU if there is one.

    Args:
        name: `auto`, `cpu`, `cuda` or `cuda:N`.

    Raises:
        OptionError: the name is unknown, or PyTorch finds no GPU.
    """
    kind = ModelOptions(device=name).device.split(":", maxsplit=1)[0]
    if kind == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if kind == "cuda" and not torch.cuda.is_available():
        raise OptionError(
            "The device is cuda, but PyTorch sees no GPU. Use --device cpu, or install a CUDA build of PyTorch."
        )
    return torch.device(name)
