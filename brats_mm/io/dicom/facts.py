"""Header facts of a series as plain data: the input of the classification, and its result."""

from dataclasses import dataclass

from brats_mm.domain.modality import Modality

CONFIDENT = 0.8
"""Confidence at or above which a decision needs no review."""
USABLE = 0.5
"""Confidence below which a decision is only used if the user confirms it."""


@dataclass(frozen=True)
class Physics:
    """Header facts about a whole series. Missing facts are empty strings or None.

    Attributes:
        modality: Modality tag, `MR`.
        sop_class: kind of object: `MR`, `enhanced MR`, `secondary capture`, `spectroscopy`, `other`.
        description, protocol, sequence_name: texts entered on the scanner.
        scanning_sequence: any of SE, IR, GR, EP, RM.
        sequence_variant: any of SK, MTC, SS, TRSS, SP, MP, OSP.
        scan_options: vendor-specific options.
        contrast_agent: Contrast/Bolus Agent.
        acquisition_contrast: for enhanced images: T1, T2, FLUID_ATTENUATED, DIFFUSION and so on.
        repetition_ms, inversion_ms, flip_deg: None if absent.
        is_3d: MR Acquisition Type. None if absent.
        is_angio: Angio Flag.
        body_part: Body Part Examined, upper case.
        is_annotated: whether the header marks annotations burned into the voxels.
        acquired_s: start of the acquisition, seconds since midnight.
    """

    modality: str = "MR"
    sop_class: str = "MR"
    description: str = ""
    protocol: str = ""
    sequence_name: str = ""
    scanning_sequence: tuple[str, ...] = ()
    sequence_variant: tuple[str, ...] = ()
    scan_options: tuple[str, ...] = ()
    contrast_agent: str = ""
    acquisition_contrast: str = ""
    repetition_ms: float | None = None
    inversion_ms: float | None = None
    flip_deg: float | None = None
    is_3d: bool | None = None
    is_angio: bool = False
    body_part: str = ""
    is_annotated: bool = False
    acquired_s: float | None = None


@dataclass(frozen=True)
class HeaderFacts(Physics):
    """Header facts of one stack of slices, with those about its series.

    Attributes:
        image_type: Image Type, upper case.
        echo_ms, b_value: None if absent.
        orientation: axial, sagittal, coronal or oblique.
        slices: number of slices of the stack.
        repeats: number of volumes of the same kind in its series (time points, directions).
        spacing_mm: distance of columns, rows and slices.
    """

    image_type: tuple[str, ...] = ("ORIGINAL", "PRIMARY")
    echo_ms: float | None = None
    b_value: float | None = None
    orientation: str = "axial"
    slices: int = 24
    repeats: int = 1
    spacing_mm: tuple[float, float, float] = (1.0, 1.0, 5.0)

    @property
    def extent_mm(self) -> float:
        """Extent of the slices along their normal."""
        return self.slices * self.spacing_mm[2]


@dataclass(frozen=True)
class Verdict:
    """Classification of a series.

    Attributes:
        modality: the sequence. None if it is none of the four.
        kind: description, such as `T1ce`, `diffusion` or `localiser`.
        confidence: 0 to 1.
        evidence: sentences, most important first.
        underlying: for a reformat, a subtraction or a doubtful series: its likely source sequence.
        contrast_stated: whether a tag or words state if contrast was given (T1 and T1ce).
    """

    modality: Modality | None
    kind: str
    confidence: float
    evidence: tuple[str, ...] = ()
    underlying: Modality | None = None
    contrast_stated: bool = True

    @property
    def is_confident(self) -> bool:
        """Whether the verdict needs no review."""
        return self.confidence >= CONFIDENT
