"""Result of a segmentation on the input grid, with its uncertainty and provenance."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from brats_mm.domain.availability import describe, format_subset
from brats_mm.domain.case import Case
from brats_mm.domain.display import format_ml
from brats_mm.domain.entropy import binary_entropy, compartment_entropy
from brats_mm.domain.label_map import Labels, Mask, merge_regions
from brats_mm.domain.modality import Modality
from brats_mm.domain.regions import REGIONS, LabelConvention, Region
from brats_mm.domain.resample import find_bounding_box
from brats_mm.domain.subset_calibration import SubsetCalibration
from brats_mm.domain.trust_profile import ExpectedDice, TrustProfile
from brats_mm.domain.volume import Array
from brats_mm.errors import OptionError

THRESHOLD = 0.5
"""A voxel belongs to a region when its probability is at least this."""

RANGE_PROBABILITIES = (0.75, 0.25)
"""Probability thresholds for the range of a volume: odds of three to one for the region, and three to one against."""

_SLAB = 4
"""Number of slices to process at a time, so that they fit into the processor's cache."""


@dataclass(frozen=True)
class ModelIdentity:
    """Identity of the model of a prediction: bundle name and version, SHA-256 of the weights, parameters, voxel size.

    `expected` holds the scores of its model card for these weights, if any. `calibration` holds the corrections of its
    logits per subset of sequences, if fitted. `trust` holds its trust profile, if fitted.
    """

    name: str
    version: str
    weights_sha256: str
    parameters: int
    spacing_mm: float = 1.0
    expected: ExpectedDice | None = field(default=None, compare=False)
    calibration: SubsetCalibration | None = field(default=None, compare=False)
    trust: TrustProfile | None = field(default=None, compare=False)

    def document(self) -> dict[str, Any]:
        """Return everything that determines predictions, as a JSON document. Excludes the scores of the model card."""
        corrections = self.calibration.corrections if self.calibration else {}
        return {
            "name": self.name,
            "version": self.version,
            "weights_sha256": self.weights_sha256,
            "parameters": self.parameters,
            "spacing_mm": self.spacing_mm,
            "calibration": {
                format_subset(subset): {region.value: asdict(correction) for region, correction in regions.items()}
                for subset, regions in corrections.items()
            },
        }


@dataclass(frozen=True)
class LeftOutChange:
    """Change of a region when a sequence is left out.

    Attributes:
        volume_ml: volume without the sequence minus volume with it.
        dice: Dice of the two outlines, 0 to 1.
        probability: mean absolute change of the probability where the region is possible, 0 to 1.
    """

    volume_ml: float
    dice: float
    probability: float


@dataclass(frozen=True, eq=False)
class Importance:
    """Importance of each sequence.

    Attributes:
        weights: gate weight in [0, 1] by modality and region, averaged over the brain. Sums to 1 over modalities and is
            exactly 0 for missing sequences. Empty for models without a gate.
        maps: gate weights per voxel on the input grid, if requested.
        joint: gate weight of the cross-sequence expert in [0, 1] by region, for models with one. `weights` are then the
            shares of the single-sequence experts.
        left_out: change of each region when a sequence is left out, by left-out sequence, if requested.
    """

    weights: Mapping[Modality, Mapping[Region, float]]
    maps: Mapping[Modality, Mapping[Region, Array]] | None = None
    joint: Mapping[Region, float] | None = None
    left_out: Mapping[Modality, Mapping[Region, LeftOutChange]] | None = None

    @property
    def known(self) -> bool:
        """Whether the model has gate weights."""
        return bool(self.weights)


NO_IMPORTANCE = Importance({})
"""Importance for a model without gate weights."""


@dataclass(frozen=True)
class Run:
    """Settings of a run: device, backend, window, seconds per stage, precision."""

    device: str
    backend: str
    window: tuple[int, int, int]
    windows: int
    seconds: Mapping[str, float]
    precision: str = "float32"


@runtime_checkable
class PredictionTools(Protocol):
    """Functions of `Prediction` that need files and libraries. Implemented by `outputs.prediction_tools`."""

    def view(self, prediction: "Prediction", **options: Any) -> Any:
        """Return a notebook widget."""

    def save(self, prediction: "Prediction", folder: Path | str, **options: Any) -> tuple[Path, ...]:
        """Write the results into a folder."""

    def to_nibabel(self, prediction: "Prediction", content: str, labels: LabelConvention) -> Any:
        """Return a volume as a nibabel image."""

    def to_sitk(self, prediction: "Prediction", content: str, labels: LabelConvention) -> Any:
        """Return a volume as a SimpleITK image."""

    def to_html(self, prediction: "Prediction") -> str:
        """Return a summary with the preview."""


@dataclass(frozen=True, eq=False, repr=False)
class Prediction:
    """Probabilities of the three regions on the input grid, with everything derived from them.

    Attributes:
        case: the input case with its grid and available sequences.
        probabilities: probability in [0, 1] by region, of `case.grid.shape`. 2e-9 outside the brain's box.
        importance: importance of each sequence.
        model: identity of the model.
        run: settings of the run.
        warnings: warnings for readers of the results.
        tools: functions behind `view`, `save` and the conversions.
    """

    case: Case
    probabilities: Mapping[Region, Array]
    importance: Importance
    model: ModelIdentity
    run: Run
    warnings: tuple[str, ...] = field(default=())
    tools: PredictionTools | None = None

    def __repr__(self) -> str:
        case, model = self.case, self.model
        volumes = ", ".join(f"{region.value.upper()} {format_ml(self.volume_ml(region))} mL" for region in REGIONS)
        shape = " x ".join(map(str, case.grid.shape))
        return (
            f"<Prediction: {volumes}; sequences {describe(case.available)}, missing {describe(case.missing)}; "
            f"{shape} voxels; model {model.name} {model.version}>"
        )

    def _repr_html_(self) -> str | None:
        return None if self.tools is None else self.tools.to_html(self)

    def view(self, **options: Any) -> Any:
        """Show the prediction in a notebook, as a widget to scroll through: image, labels and entropy.

        Args:
            options: options of `brats_mm.outputs.notebook_view.show`, such as `height_px`.

        Raises:
            OptionError: ipyniivue is not installed, or `tools` is None.
        """
        return self._need_tools().view(self, **options)

    def save(self, folder: Path | str, **options: Any) -> tuple[Path, ...]:
        """Write the results into a folder, like `brats-mm segment`. Writes all files or none.

        Does not write raw scans, because a prediction does not hold them. Use `brats-mm segment` for them.

        Args:
            folder: output folder. Created if needed.
            options: fields of `OutputOptions` such as `labels`, `probabilities`, `report`, `scene` and `overwrite`.

        Returns:
            The written files.

        Raises:
            OptionError: an option is unknown, or `tools` is None.
            OutputError: a file exists and `overwrite` is false, or the folder cannot be written.
        """
        return self._need_tools().save(self, folder, **options)

    def to_nibabel(self, content: str = "labels", *, labels: LabelConvention | str = LabelConvention.BRATS2023) -> Any:
        """Return a volume as a `nibabel.Nifti1Image` on the grid of the input.

        Args:
            content: `labels`, `entropy` in nats, or `wt`, `tc` or `et` for the probability of a region.
            labels: label values.

        Raises:
            OptionError: `content` or `labels` is unknown, or `tools` is None.
        """
        return self._need_tools().to_nibabel(self, content, LabelConvention.parse(labels))

    def to_sitk(self, content: str = "labels", *, labels: LabelConvention | str = LabelConvention.BRATS2023) -> Any:
        """Return a volume as a `SimpleITK.Image`. Takes the arguments and raises the errors of `to_nibabel`."""
        return self._need_tools().to_sitk(self, content, LabelConvention.parse(labels))

    def _need_tools(self) -> PredictionTools:
        if self.tools is None:
            raise OptionError(
                "This prediction cannot be shown or saved, because its `tools` are not set. Create it with "
                "Segmenter.predict, or set tools to brats_mm.outputs.prediction_tools.TOOLS."
            )
        return self.tools

    def mask(self, region: Region | str) -> Mask:
        """Return the mask of a region: its probability, or that of a region inside it, is at least 0.5."""
        return np.asarray(self._nested[Region(region)] >= THRESHOLD)

    def labels(self, convention: LabelConvention | str = LabelConvention.BRATS2023) -> Labels:
        """Return the label map as uint8, with the values of a convention: `brats2023` or `brats2021`.

        Raises:
            OptionError: the convention is unknown.
        """
        convention = LabelConvention.parse(convention)
        wt, tc, et = (self.probabilities[region] >= THRESHOLD for region in REGIONS)
        return merge_regions(wt, tc, et, convention)

    def entropy(self, region: Region | str) -> Array:
        """Return the entropy of a region's probability at each voxel, in nats, 0 to ln 2."""
        return self._compute_voxelwise(binary_entropy, [self.probabilities[Region(region)]])

    def combined_entropy(self) -> Array:
        """Return the entropy over none, oedema, necrosis and enhancing at each voxel, in nats, 0 to ln 4."""
        return self._compute_voxelwise(compartment_entropy, [self._nested[region] for region in REGIONS])

    def volume_ml(self, region: Region | str) -> float:
        """Return the volume of a region in millilitres."""
        return np.count_nonzero(self.mask(region)) * self.case.grid.voxel_ml

    def volume_range_ml(self, region: Region | str) -> tuple[float, float]:
        """Return the volumes in millilitres at probability thresholds of 0.75 and 0.25.

        `volume_ml` lies within the range. It is not a confidence interval: it depends on the calibration and does not
        cover confident errors.
        """
        low, high = (np.count_nonzero(self._nested[Region(region)] >= least) for least in RANGE_PROBABILITIES)
        return low * self.case.grid.voxel_ml, high * self.case.grid.voxel_ml

    def mean_entropy_inside(self, region: Region | str) -> float | None:
        """Return the mean entropy inside a region in nats, or None if the region is empty."""
        return self._mean_entropies[Region(region)]

    @cached_property
    def _mean_entropies(self) -> dict[Region, float | None]:
        means: dict[Region, float | None] = {}
        for region in REGIONS:
            inside = self.mask(region)
            box = find_bounding_box(inside)
            probabilities = self.probabilities[region][box][inside[box]]
            means[region] = float(binary_entropy(probabilities).mean()) if probabilities.size else None
        return means

    def _compute_voxelwise(self, function: Callable[..., Array], maps: Sequence[Array]) -> Array:
        """Apply a voxelwise function to maps, once for all voxels outside the box and to each voxel inside."""
        result = np.full_like(maps[0], function(*(probability[:1, :1, :1] for probability in maps)).item())
        x, y, z = self._box
        for start in range(z.start, z.stop, _SLAB):
            slab = (x, y, slice(start, min(start + _SLAB, z.stop)))
            result[slab] = function(*(probability[slab] for probability in maps))
        return result

    @cached_property
    def _box(self) -> tuple[slice, slice, slice]:
        """Return the box that contains every voxel that differs from the first.

        Two thirds of a scan lie outside.
        """
        differs = np.zeros_like(self.probabilities[Region.WT], np.bool_)
        for probability in self.probabilities.values():
            differs |= probability != probability.flat[0]
        return find_bounding_box(differs)

    @cached_property
    def _nested(self) -> dict[Region, npt.NDArray[np.float32]]:
        wt, tc, et = nest_probabilities(*(self.probabilities[region] for region in REGIONS))
        return {Region.WT: wt, Region.TC: tc, Region.ET: et}


def nest_probabilities(wt: Array, tc: Array, et: Array) -> tuple[Array, Array, Array]:
    """Make probabilities nest like the label map, so that a region is at least as likely as the regions inside it.

    Args:
        wt, tc, et: region probabilities in [0, 1], of equal shape.
    """
    core = np.maximum(tc, et)
    return np.maximum(wt, core), core, et
