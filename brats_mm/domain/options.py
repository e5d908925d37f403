"""Options of a segmentation, shared by command line, Python, cohort and HTTP, and how dataclasses offer their fields.

The metadata of each field describes how it is offered. Imports nothing heavy, because `brats-mm --help` reads it.
"""

from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from brats_mm.domain.availability import Availability, sort_modalities
from brats_mm.domain.modality import MODALITIES, Modality
from brats_mm.domain.regions import REGIONS, LabelConvention
from brats_mm.errors import OptionError

BACKENDS = ("auto", "torch", "openvino")
DEVICES = ("auto", "cpu", "cuda")
PRESETS = ("default", "fast", "tta")
DICOM_FOLDER = "dicom/"
DICOM_WRITTEN = "dicom_results_written"
"""Key of `report.json` if DICOM results were requested: false if the headers of the series do not allow them."""
INTERMEDIATE_FOLDER = "intermediate"
"""Registered volumes, brain mask and transforms, below the output folder."""

GRID_TOLERANCE = 0.5
"""Largest grid tolerance in voxels. At half a voxel, the nearest voxel centre is ambiguous."""

_BIDS = "BIDS dataset"

T = TypeVar("T")


@dataclass(frozen=True)
class Offer:
    """How an option is offered to users.

    Attributes:
        help: help text.
        group: heading in the help of the command line. Empty for the options of a single command.
        metavar: name of the value on the command line, or names of several values.
        choices: allowed values. Empty for any value.
        flags: flag -> help, for an option whose values have flags instead of one option with a value.
        excludes: options that share this word cannot be combined.
        http: whether a request to the service may set it.
        name: name for users. Defaults to that of the field.
        unit: factor from the value that users give, such as 3600 for hours, to that of the field.
    """

    help: str
    group: str = ""
    metavar: str | tuple[str, ...] | None = None
    choices: tuple[str, ...] = ()
    flags: Mapping[str, str] = field(default_factory=dict)
    excludes: str = ""
    http: bool = True
    name: str = ""
    unit: float | int = 1


@dataclass(frozen=True)
class Option:
    """A field of an options class: its name for users and in the class, type and default, and how it is offered."""

    name: str
    field: str
    kind: Any
    default: Any
    offer: Offer


def option(default: T, help: str, **how: Any) -> T:
    """Return a dataclass field that is offered to users. `how` holds attributes of `Offer`.

    Args:
        default: default value of the option.
        help: help text, in lower case and without a full stop.
        how: attributes of `Offer`, such as `metavar` or `choices`.
    """
    return field(default=default, metadata={"offer": Offer(help, **how)})


def required_option(help: str, **how: Any) -> Any:
    """Return a field like `option` without a default."""
    return field(metadata={"offer": Offer(help, **how)})


@cache
def list_options(kind: type) -> tuple[Option, ...]:
    """Return the options of a dataclass, in the order of its fields."""
    offered = [(one, one.metadata["offer"]) for one in fields(kind) if "offer" in one.metadata]
    return tuple(
        Option(offer.name or one.name, one.name, one.type, _read_default(one), offer) for one, offer in offered
    )


def _read_default(one: "Field[Any]") -> Any:
    if one.default_factory is not MISSING:
        return one.default_factory()
    return None if one.default is MISSING else one.default


@dataclass(frozen=True)
class OutputOptions:
    """Files to write.

    Raises:
        OptionError: the options contradict each other.
    """

    labels: LabelConvention = option(
        LabelConvention.BRATS2023, "label values: enhancing tumour is 3 (brats2023) or 4 (brats2021)"
    )
    probabilities: bool = option(default=False, help="write probability_{wt,tc,et}.nii.gz")
    masks: bool = option(default=False, help="write mask_{wt,tc,et}.nii.gz, a binary mask of each region")
    importance_maps: bool = option(default=False, help="write a map of each gate weight")
    leave_one_out: bool = option(
        default=False,
        help="measure how the result changes when each sequence is left out (in importance.json)",
    )
    preview: bool = option(default=True, help="write preview.png")
    report: bool = option(default=False, help="write report.html, a page to read or print")
    scene: bool = option(default=False, help="write scene.mrb for 3D Slicer")
    overwrite: bool = option(default=False, help="replace results in the output folder", http=False)
    dicom: bool = option(
        default=False,
        help="write segmentation.dcm, entropy.dcm and report.dcm (SEG, Parametric Map, SR). Needs DICOM input",
        group="DICOM results",
    )
    rtstruct: bool = option(
        default=False,
        help="also write structures.dcm, an RT Structure Set with the contours of each region. Needs dicom",
        group="DICOM results",
    )
    dicom_reference: Path | None = option(
        None,
        "folder of the DICOM series from which NIfTI input was converted, to write DICOM results",
        group="DICOM results",
        metavar="DIR",
        http=False,
    )
    deidentify: bool = option(
        default=False, help="remove the patient's identity from DICOM results (new UIDs)", group="DICOM results"
    )
    dicom_folder: str = DICOM_FOLDER
    """Folder of DICOM results below the output folder. Empty, or ends in a slash."""

    def __post_init__(self) -> None:
        if self.deidentify and not self.wants_dicom:
            raise OptionError(
                "deidentify needs DICOM results. Add dicom, or omit deidentify: other results contain no patient "
                "identity."
            )
        if self.rtstruct and not self.wants_dicom:
            raise OptionError("rtstruct needs DICOM results. Add dicom.")

    @property
    def wants_dicom(self) -> bool:
        """Whether DICOM results are requested."""
        return self.dicom or self.dicom_reference is not None

    def names(self, available: Availability) -> tuple[str, ...]:
        """Return the files of a case with these sequences, relative to its output folder."""
        names = ["segmentation.nii.gz", "segmentation.seg.nrrd", "entropy.nii.gz", "importance.json", "report.json"]
        names += [f"entropy_{region.value}.nii.gz" for region in REGIONS]
        if self.probabilities:
            names += [f"probability_{region.value}.nii.gz" for region in REGIONS]
        if self.masks:
            names += [f"mask_{region.value}.nii.gz" for region in REGIONS]
        if self.importance_maps:
            names += [
                f"importance_{m.value}_{region.value}.nii.gz" for m in sort_modalities(available) for region in REGIONS
            ]
        extra = {"preview.png": self.preview, "report.html": self.report, "scene.mrb": self.scene}
        names += [name for name, is_requested in extra.items() if is_requested]
        if self.wants_dicom:
            names += [f"{self.dicom_folder}{name}.dcm" for name in ("segmentation", "entropy", "report")]
        if self.rtstruct:
            names.append(f"{self.dicom_folder}structures.dcm")
        return tuple(sorted(names))


@dataclass(frozen=True)
class PreprocessingOptions:
    """How to preprocess the input. Raw scans are detected unless `raw` or `prepared` is set.

    Raises:
        OptionError: the options contradict each other.
    """

    raw: bool = option(
        default=False,
        help="treat the input as raw scans, and preprocess it",
        group="raw scans",
        excludes="kind",
    )
    prepared: bool = option(
        default=False,
        help="use the input unchanged. Sequences on different grids are an error",
        group="raw scans",
        excludes="kind",
    )
    reference: Modality | None = option(
        None,
        "sequence that defines the output grid: t1, t1ce, t2 or flair (default: the one with the thinnest slices)",
        group="raw scans",
        metavar="SEQUENCE",
        choices=tuple(modality.value for modality in MODALITIES),
    )
    grid_tolerance: float = option(
        GRID_TOLERANCE,
        "maximum distance between corresponding voxel centres, as a fraction of a voxel, 0 to 0.5",
        group="raw scans",
        metavar="VOXELS",
    )
    brain_mask: Path | None = option(
        None,
        "brain mask to use instead of extracting the brain: a volume with values above 0.5 inside the brain",
        group="raw scans",
        metavar="FILE",
        http=False,
    )
    n4: bool = option(default=False, help="correct uneven brightness (N4)", group="raw scans")
    keep_intermediate: bool = option(
        default=False, help="write registered volumes, brain mask and transforms", group="raw scans", http=False
    )

    def __post_init__(self) -> None:
        if self.raw and self.prepared:
            raise OptionError("raw and prepared are mutually exclusive. Set at most one of them.")
        if not 0 <= self.grid_tolerance <= GRID_TOLERANCE:
            raise OptionError(
                f"The grid tolerance is {self.grid_tolerance:g} voxels. It must be from 0 to {GRID_TOLERANCE:g}."
            )


@dataclass(frozen=True)
class BidsFilter:
    """Selection of participants, sessions and images of a BIDS dataset, by labels with or without their entity.

    Attributes:
        participant, session: labels such as `01` or `sub-01`. Empty selects all.
        run, acquisition: label that images with this entity must have. Images without the entity are kept.
    """

    participant: tuple[str, ...] = option((), "participants, such as 01 or sub-01", group=_BIDS, metavar="LABEL")
    session: tuple[str, ...] = option((), "sessions, such as pre or ses-pre", group=_BIDS, metavar="LABEL")
    run: str | None = option(None, "run to take where images have a run- entity", group=_BIDS, metavar="LABEL")
    acquisition: str | None = option(
        None, "acquisition to take where images have an acq- entity", group=_BIDS, metavar="LABEL"
    )

    @property
    def picks_images(self) -> bool:
        """Whether the filter selects among the images of a session."""
        return self.run is not None or self.acquisition is not None

    @property
    def is_empty(self) -> bool:
        """Whether the filter selects everything."""
        return not (self.participant or self.session or self.picks_images)


@dataclass(frozen=True)
class ModelOptions:
    """Model to run, and its settings.

    Raises:
        OptionError: an option has an invalid value.
    """

    device: str = option("auto", "auto, cpu, cuda or cuda:N", group="model", metavar="DEVICE", http=False)
    bundle: Path | None = option(
        None, "model bundle to use instead of the installed one", group="model", metavar="DIR", http=False
    )
    trust_bundle: bool = option(
        default=False,
        help="trust a bundle that refers to code other than known networks, or has no recorded hash",
        group="model",
        http=False,
    )
    window: int = option(128, "window side: a multiple of 32, at least 64", group="model", metavar="VOXELS", http=False)
    overlap: float = option(0.5, "overlap of windows, 0 to 0.9", group="model", metavar="SHARE", http=False)
    backend: str = option(
        "auto",
        "backend for the network. auto uses OpenVINO on CPUs if it is installed",
        group="model",
        choices=BACKENDS,
        http=False,
    )
    preset: str = option(
        "default",
        "trade-off between speed and accuracy",
        group="model",
        choices=PRESETS,
        flags={
            "fast": "use a smaller margin around the brain, which is 20 % faster and changes outlines slightly",
            "tta": (
                "average with the mirrored brain (test-time augmentation), which doubles the time and was no better "
                "on ten validation cases"
            ),
        },
        http=False,
    )

    def __post_init__(self) -> None:
        if self.window < 64 or self.window % 32:
            raise OptionError(f"The window side is {self.window}. It must be a multiple of 32, and at least 64.")
        if not 0 <= self.overlap <= 0.9:
            raise OptionError(f"The overlap is {self.overlap}. It must be from 0 to 0.9.")
        if self.device.split(":", maxsplit=1)[0] not in DEVICES:
            raise OptionError(f"The device is {self.device!r}. It must be auto, cpu, cuda or cuda:N.")
        for name, choices in (("backend", BACKENDS), ("preset", PRESETS)):
            if getattr(self, name) not in choices:
                raise OptionError(f"The {name} is {getattr(self, name)!r}. Choose one of {', '.join(choices)}.")
