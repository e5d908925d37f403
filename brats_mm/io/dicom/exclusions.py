"""Exclude series other than T1, T1ce, T2 and FLAIR by SOP class, Image Type and description."""

from dataclasses import dataclass

from brats_mm.domain.name_rules import read_name
from brats_mm.domain.name_words import ANNOTATED, KINDS, split_name_tokens
from brats_mm.io.dicom.facts import HeaderFacts

MIN_SLICES = 8
_SECOND_ECHO_MS = 60.0
"""Shortest echo time of the T2 volume in a series named `PD+T2`."""


@dataclass(frozen=True)
class Exclusion:
    """Reason to exclude a series from the four sequences.

    Attributes:
        kind: description of the kind of image.
        reason: the reason as a sentence.
        confidence: 0 to 1.
    """

    kind: str
    reason: str
    confidence: float = 0.95


PROJECTION_TYPES = frozenset({"MIP", "MINIP", "PROJECTION IMAGE", "MIN_IP", "THICK", "VRT", "RENDERED", "3D RENDERING"})
REFORMAT_TYPES = frozenset({"MPR", "REFORMATTED", "RESAMPLED", "CPR", "CURVED", "MPR_THICK", "MPR_THIN", "AXIAL_MPR"})
REFORMAT_WORDS = frozenset({
    "mpr", "mprs", "reformat", "reformatted", "reformats", "refmt", "recon", "rekonstruktion", "rfmt",
    "reformation", "reconstruction", "ricostruzione", "reformatage", "ref", "reconst", "mpv", "reformato",
})  # fmt: skip
PROJECTION_WORDS = frozenset({"mip", "minip", "vr", "vrt", "collapse", "collapsed", "pjn"})
OTHER_PARTS = frozenset({"SPINE", "CSPINE", "TSPINE", "LSPINE", "LSSPINE", "NECK", "KNEE", "SHOULDER", "ABDOMEN"}) | {
    "PELVIS", "CHEST", "HEART", "BREAST", "PROSTATE", "LIVER", "ORBIT", "HIP", "ANKLE", "FOOT", "HAND", "WRIST",
}  # fmt: skip
OTHER_PART_WORDS = frozenset({
    "spine", "cspine", "tspine", "lspine", "hws", "bws", "lws", "cervical", "lumbar", "thoracic", "rachis",
    "colonna", "columna", "cervicale", "orbit", "orbita", "orbits", "orbite", "pituitary", "hypophyse", "ipofisi",
    "hipofisis", "sella", "iac", "iam", "felsenbein", "knee", "neck", "hals", "wirbelsaule", "kregoslup",
    "wervelkolom", "sellar",
})  # fmt: skip


def find_exclusion(facts: HeaderFacts) -> Exclusion | None:
    """Return the reason to exclude a series from the four sequences, or None."""
    for check in (
        _exclude_object,
        _exclude_derived_kind,
        _exclude_named_kind,
        _exclude_echo_planar,
        _exclude_component,
        _exclude_projection,
        _exclude_body,
        _exclude_size,
    ):
        exclusion = check(facts)
        if exclusion is not None:
            return exclusion
    return None


def describe_reformat(facts: HeaderFacts) -> str:
    """Return a sentence if the series was computed from another one, else an empty string."""
    derived = "DERIVED" in facts.image_type[:1]
    types = REFORMAT_TYPES.intersection(facts.image_type)
    if types:
        return f"Image Type contains {sorted(types)[0]}: a reformat of another series."
    matches = REFORMAT_WORDS.intersection(_collect_tokens(facts))
    if derived and matches:
        return f"Image Type contains DERIVED, and the description {sorted(matches)[0]!r}: a reformat of another series."
    return ""


def describe_annotation(facts: HeaderFacts) -> str:
    """Return a clause if the series is a copy with drawings or text in its voxels, else an empty string."""
    if facts.is_annotated:
        return "the header marks burned-in annotations"
    matches = ANNOTATED.intersection(split_name_tokens(facts.description))
    return f"the description contains {sorted(matches)[0]!r}" if matches else ""


def _collect_tokens(facts: HeaderFacts) -> set[str]:
    return set(split_name_tokens(f"{facts.description} {facts.sequence_name}"))


def _exclude_object(facts: HeaderFacts) -> Exclusion | None:
    if facts.modality != "MR":
        return Exclusion(
            f"{facts.modality or 'no'} image", f"The modality is {facts.modality or 'not given'}, not MR.", 1.0
        )
    if facts.sop_class not in ("MR", "enhanced MR"):
        return Exclusion(facts.sop_class, f"The SOP class is {facts.sop_class}, not an MR image.", 1.0)
    if "MOSAIC" in facts.image_type:
        return Exclusion("mosaic", "Image Type contains MOSAIC: all slices of a time point in one image.", 1.0)
    if {"SCREEN SAVE", "SCREENSHOT", "SCREEN_CAPTURE", "SECONDARY CAPTURE"}.intersection(facts.image_type):
        return Exclusion("screenshot", "Image Type marks a screenshot.", 1.0)
    return None


def _exclude_derived_kind(facts: HeaderFacts) -> Exclusion | None:
    if facts.is_angio:
        return Exclusion("angiography", "The angio flag is set.")
    contrast = facts.acquisition_contrast
    names = {
        "DIFFUSION": "diffusion",
        "PERFUSION": "perfusion",
        "FLOW_ENCODED": "angiography",
        "TIME_OF_FLIGHT": "angiography",
    }
    names |= {"T2_STAR": "susceptibility", "PROTON_DENSITY": "proton density", "STIR": "double inversion or fat-nulled"}
    if contrast in names:
        return Exclusion(names[contrast], f"The acquisition contrast is {contrast}.")
    values = {value.replace(" ", "_") for value in facts.image_type[2:]}
    for kind in KINDS:
        types = set() if kind.names_only else kind.image_types & values
        if types:
            return Exclusion(kind.name, f"Image Type contains {sorted(types)[0]}.")
    if facts.b_value is not None and facts.b_value > 0:
        return Exclusion("diffusion", f"The header has a diffusion b-value, {facts.b_value:g}.")
    return None


def _exclude_named_kind(facts: HeaderFacts) -> Exclusion | None:
    for text, where in ((facts.description, "description"), (facts.sequence_name, "sequence name")):
        named_kind = _find_kind(text)
        if named_kind is not None and not (
            named_kind[0] == "proton density" and (facts.echo_ms or 0) >= _SECOND_ECHO_MS
        ):
            kind, keyword = named_kind
            return Exclusion(kind, f"The {where} contains {keyword!r}.", 0.9)
    if not facts.description.strip():
        named_kind = _find_kind(facts.protocol)
        if named_kind is not None:
            return Exclusion(named_kind[0], f"The protocol name contains {named_kind[1]!r}.", 0.85)
    return None


def _find_kind(text: str) -> tuple[str, str] | None:
    reading = read_name(text, is_file=False)
    return (reading.kind, reading.kind_word) if reading.kind else None


def _exclude_echo_planar(facts: HeaderFacts) -> Exclusion | None:
    if "EP" not in facts.scanning_sequence or "grase" in " ".join(_collect_tokens(facts)):
        return None
    return Exclusion(
        "echo-planar image", "The scanning sequence is echo-planar (EP): diffusion, perfusion or similar.", 0.9
    )


def _exclude_component(facts: HeaderFacts) -> Exclusion | None:
    names = {"P": "phase", "PHASE": "phase", "PHASE MAP": "phase", "R": "real part", "REAL": "real part"}
    names |= {"I": "imaginary part", "IMAGINARY": "imaginary part"}
    component = next((names[value] for value in facts.image_type[2:4] if value in names), None)
    if component is None:
        return None
    return Exclusion(f"{component} image", f"Image Type marks the {component}, not the magnitude.", 0.9)


def _exclude_projection(facts: HeaderFacts) -> Exclusion | None:
    types = PROJECTION_TYPES.intersection(facts.image_type)
    if types:
        return Exclusion("projection", f"Image Type contains {sorted(types)[0]}: a projection.")
    matches = PROJECTION_WORDS.intersection(_collect_tokens(facts))
    if matches:
        return Exclusion("projection", f"The description contains {sorted(matches)[0]!r}: a projection.", 0.85)
    inversions = {"inv1", "inv2"}.intersection(_collect_tokens(facts)) | {"INV1", "INV2"}.intersection(facts.image_type)
    if inversions:
        return Exclusion("MP2RAGE inversion", "It is one inversion of an MP2RAGE, not its uniform image.", 0.9)
    return None


def _exclude_body(facts: HeaderFacts) -> Exclusion | None:
    if facts.body_part.replace("_", "").replace(" ", "") in OTHER_PARTS:
        return Exclusion("other body part", f"The body part is {facts.body_part.lower()}, not the head.", 0.9)
    matches = OTHER_PART_WORDS.intersection(_collect_tokens(facts))
    if matches:
        return Exclusion(
            "other body part", f"The description contains {sorted(matches)[0]!r}, which is not the brain.", 0.85
        )
    return None


def _exclude_size(facts: HeaderFacts) -> Exclusion | None:
    if facts.repeats > 4:
        reason = f"It has {facts.repeats} volumes at one position: a time series or a set of directions."
        return Exclusion("time series", reason, 0.95)
    if facts.slices < 2:
        return Exclusion("single image", "It has only one slice.", 1.0)
    if facts.slices < MIN_SLICES:
        return Exclusion("few slices", f"It has {facts.slices} slices, too few for a volume of the brain.", 0.95)
    return None
