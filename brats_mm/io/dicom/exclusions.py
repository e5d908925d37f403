"""Series that are none of T1, T1ce, T2, FLAIR, whatever their timing: told by kind of object, Image Type and words."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from brats_mm.io.dicom.facts import HeaderFacts
from brats_mm.io.dicom.words import plain, tokens_of

FEWEST_SLICES = 8
_SECOND_ECHO_MS = 60.0
"""Of a series named `PD+T2`, the echo from here on is the T2."""


@dataclass(frozen=True)
class Exclusion:
    """Why a series is none of the four: what it is in words, how sure, and the sentence."""

    what: str
    says: str
    confidence: float = 0.95


@dataclass(frozen=True)
class _Kind:
    """A kind of image: the words and Image Type values that tell it."""

    what: str
    words: frozenset[str] = frozenset()
    patterns: re.Pattern[str] | None = None
    image_types: frozenset[str] = frozenset()


def _kind(what: str, words: str = "", pattern: str = "", image_types: str = "") -> _Kind:
    return _Kind(
        what, frozenset(words.split()), re.compile(pattern) if pattern else None, frozenset(image_types.split())
    )


KINDS = (
    _kind(
        "ADC map",
        "adc dadc eadc exponential",
        r"apparent diffusion|\badc\b|表观扩散",
        "ADC ADC_UNSPECIFIED EADC D",
    ),
    _kind(
        "diffusion",
        "dwi dti diff diffusion difusion diffusione difuzja difuzyon diffusie trace tracew isodwi dki hardi "
        "fa colfa tensor "
        "resolve epdiff zoomit multib dwibs tractography ivim",
        r"\bb ?=? ?\d{3,4}\b|ep2d[_ ]?diff|\bep_b\d|\*ep_b|弥散|扩散|拡散|\bep2d_b",
        "DIFFUSION TRACEW TRACE DIFFUSION_ANISO FA ISOTROPIC COLFA TENSOR B0",
    ),
    _kind(
        "perfusion",
        "perf perfusion perfusione perfusie perfuzja perfuzyon pwi dsc dce asl pcasl pasl casl cbv rcbv cbf "
        "rcbf mtt ttp tmax "
        "ktrans pbp gbp twist permeability permeabilidad dynasusc fwip tricks 3dasl relcbf relcbv relmtt dynamic",
        r"灌注|灌流|arterial spin",
        "PERFUSION ASL CBV CBF MTT TTP RCBV RCBF TMAX PERFUSION_ASL SUBTRACTION_ASL RELCBF RELCBV RELMTT GBP PBP",
    ),
    _kind(
        "susceptibility",
        "swi swan swip susceptibility mip_swi venobold swibold qsm pha phase pha_images fsbb swir mag_images "
        "swiphase t2star "
        "t2hemo hemo heme haemo hemosiderin hemosid blut",
        r"\bt2w?\s*\*|t2[ _-]?star\b|\bt2[ _-]?(gre|ffe|fl2d)\b|\bgre[ _-]?t2\b|磁敏感|磁化率",
        "SWI MNIP SWAN",
    ),
    _kind(
        "angiography",
        "tof mra mrv angio angiography angiographie angiografia angiografie anjio venographie venography "
        "venografia pca "
        "cemra trance inhance 3dtof 2dtof tof3d cow willis phlebo pcmra mrangio",
        r"time of flight|phase contrast|\bpc[ _](mra|3d)|血管|\btof",
        "ANGIO TOF MRA VELOCITY FLOW",
    ),
    _kind("functional", "bold fmri moco resting restingstate rsfmri task", r"机能|功能", "FMRI BOLD"),
    _kind(
        "spectroscopy",
        "csi svs mrs press spectro spectroscopy spectroscopie espectroscopia slaser probe",
        "",
        "SPECTROSCOPY",
    ),
    _kind(
        "localiser",
        "loc localizer localiser localizador localizzatore localisateur lokalizer lokalizator scout survey "
        "topogram reperage "
        "planscan 3plane 3pl triplane smartbrain asset calibration calib cal kalibration senseref refscan reference "
        "b1map b0map shim shimming aascout aahead aligner smartexam coilsens kilavuz pilot locator centrage "
        "surview positioning trufilokalizer scano",
        r"aahead|定位|位置決め|3[ -]?(plane|pl)\b|b[01][ _-]?map|field[ _-]?map|\bsense ?ref",
        "LOCALIZER LOCALISER SCOUT",
    ),
    _kind(
        "subtraction",
        "sub subtr subtraction subtraktion soustraction sottrazione resta substraccion subtracao subtrahiert "
        "odejmowanie "
        "subs subtractie fark subtracted substraction",
        r"差分|减影|減算",
        "SUBTRACTION SUBTRACT SUB SUBTRACTED",
    ),
    _kind(
        "proton density",
        "pd pdw pdwi dp densidad densite",
        r"proton density|质子",
        "PROTON_DENSITY",
    ),
    _kind(
        "double inversion or fat-nulled",
        "dir stir psir stirir psirtse",
        r"double inversion",
        "",
    ),
    _kind(
        "balanced",
        "ciss fiesta trufi truefisp bffe balanced drive fiestac bssfp trufisp psif dess ssfp bravobalance btfe",
        "",
        "",
    ),
    _kind(
        "quantitative map",
        "t1map t2map t1mapping t2mapping mapit relaxometry synthetic symri magic mrf qmap parametric molli r2map",
        r"\bt[12][ _-]?map",
        "T1MAP T2MAP T1_MAP T2_MAP R2_MAP R2STAR_MAP MAP QMAP T2_STAR_MAP MTR",
    ),
    _kind("elastography or flow", "mre elasto qflow flow liquorfluss", "", ""),
    _kind("magnetisation transfer", "mtc_on mtr cest apt aptw apt_w", r"\bapt[ _-]?w", "CEST APT"),
)

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


def exclusion_of(facts: HeaderFacts) -> Exclusion | None:
    """Why the series is none of the four; None where nothing speaks against it."""
    for check in (_object, _derived_kind, _named_kind, _echo_planar, _component, _projection, _body, _size):
        found = check(facts)
        if found is not None:
            return found
    return None


def reformat_of(facts: HeaderFacts) -> str:
    """The sentence that says that the series was computed from another one; empty where it was acquired so."""
    derived = "DERIVED" in facts.image_type[:1]
    told = REFORMAT_TYPES.intersection(facts.image_type)
    if told:
        return f"The image type says {sorted(told)[0]}: a reformat of another series."
    spoken = REFORMAT_WORDS.intersection(_tokens(facts))
    if derived and spoken:
        return f"The image type says DERIVED, and the description {sorted(spoken)[0]!r}: a reformat of another series."
    return ""


def _tokens(facts: HeaderFacts) -> set[str]:
    return set(tokens_of(f"{facts.description} {facts.sequence_name}"))


def _object(facts: HeaderFacts) -> Exclusion | None:
    if facts.modality != "MR":
        return Exclusion(
            f"{facts.modality or 'no'} image", f"The modality is {facts.modality or 'not given'}, not MR.", 1.0
        )
    if facts.sop_class not in ("MR", "enhanced MR"):
        return Exclusion(facts.sop_class, f"The object is of the kind {facts.sop_class}, not an MR image.", 1.0)
    if "MOSAIC" in facts.image_type:
        return Exclusion("mosaic", "The image type says MOSAIC: all slices of a time point in one picture.", 1.0)
    if {"SCREEN SAVE", "SCREENSHOT", "SCREEN_CAPTURE", "SECONDARY CAPTURE"}.intersection(facts.image_type):
        return Exclusion("screenshot", "The image type says that it is a screenshot.", 1.0)
    return None


def _derived_kind(facts: HeaderFacts) -> Exclusion | None:
    if facts.is_angio:
        return Exclusion("angiography", "The angio flag is set.")
    contrast = facts.acquisition_contrast
    named = {
        "DIFFUSION": "diffusion",
        "PERFUSION": "perfusion",
        "FLOW_ENCODED": "angiography",
        "TIME_OF_FLIGHT": "angiography",
    }
    named |= {"T2_STAR": "susceptibility", "PROTON_DENSITY": "proton density", "STIR": "double inversion or fat-nulled"}
    if contrast in named:
        return Exclusion(named[contrast], f"The acquisition contrast is {contrast}.")
    values = {value.replace(" ", "_") for value in facts.image_type[2:]}
    for kind in KINDS:
        told = kind.image_types & values
        if told:
            return Exclusion(kind.what, f"The image type says {sorted(told)[0]}.")
    if facts.b_value is not None and facts.b_value > 0:
        return Exclusion("diffusion", f"The header has a diffusion b-value, {facts.b_value:g}.")
    return None


def _named_kind(facts: HeaderFacts) -> Exclusion | None:
    for text, where in ((facts.description, "description"), (facts.sequence_name, "sequence name")):
        found = _kind_in(text)
        if found is not None and not (found[0] == "proton density" and (facts.echo_ms or 0) >= _SECOND_ECHO_MS):
            kind, word = found
            return Exclusion(kind, f"The {where} says {word!r}.", 0.9)
    if not facts.description.strip():
        found = _kind_in(facts.protocol)
        if found is not None:
            return Exclusion(found[0], f"The protocol's name says {found[1]!r}.", 0.85)
    return None


def _kind_in(text: str) -> tuple[str, str] | None:
    if not text.strip():
        return None
    tokens, folded = tokens_of(text), plain(text)
    for kind in KINDS:
        word = next((token for token in tokens if token in kind.words), None)
        if word is None and kind.patterns is not None and (match := kind.patterns.search(folded)):
            word = match.group().strip()
        if word is not None and not _is_harmless(word, tokens):
            return kind.what, word
    return None


def _is_harmless(word: str, tokens: Iterable[str]) -> bool:
    """Words that say something else in their company: DRIVE pulses of a T2, the phase direction, a reference series."""
    others = set(tokens)
    return (
        (word == "drive" and not others.isdisjoint({"t2", "t2w", "tse"}))
        or (word == "fa" and not others.isdisjoint({"t1", "t2", "flair"}))
        or (word in ("pha", "phase") and not others.isdisjoint({"dir", "ap", "rl", "pe"}))
        or (word == "dir" and not others.isdisjoint({"phase", "pe"}))
        or (word in ("reference", "ref") and not others.isdisjoint({"t1", "t2", "flair"}))
        or (word in ("cal", "trace", "press", "probe", "sub") and not others.isdisjoint({"stealth", "brainlab"}))
        or (word == "moco" and not others.isdisjoint({"t1", "t2", "flair", "mprage"}))
        or (word == "dynamic" and not others.isdisjoint({"stealth"}))
    )


def _echo_planar(facts: HeaderFacts) -> Exclusion | None:
    if "EP" not in facts.scanning_sequence or "grase" in " ".join(_tokens(facts)):
        return None
    return Exclusion(
        "echo-planar image", "The scanning sequence is echo-planar (EP): diffusion, perfusion or the like.", 0.9
    )


def _component(facts: HeaderFacts) -> Exclusion | None:
    names = {"P": "phase", "PHASE": "phase", "PHASE MAP": "phase", "R": "real part", "REAL": "real part"}
    names |= {"I": "imaginary part", "IMAGINARY": "imaginary part"}
    found = next((names[value] for value in facts.image_type[2:4] if value in names), None)
    if found is None:
        return None
    return Exclusion(f"{found} image", f"The image type says that it is the {found}, not the magnitude.", 0.9)


def _projection(facts: HeaderFacts) -> Exclusion | None:
    told = PROJECTION_TYPES.intersection(facts.image_type)
    if told:
        return Exclusion("projection", f"The image type says {sorted(told)[0]}: a projection.")
    spoken = PROJECTION_WORDS.intersection(_tokens(facts))
    if spoken:
        return Exclusion("projection", f"The description says {sorted(spoken)[0]!r}: a projection.", 0.85)
    inversions = {"inv1", "inv2"}.intersection(_tokens(facts)) | {"INV1", "INV2"}.intersection(facts.image_type)
    if inversions:
        return Exclusion("MP2RAGE inversion", "It is one inversion of an MP2RAGE, not its uniform image.", 0.9)
    return None


def _body(facts: HeaderFacts) -> Exclusion | None:
    if facts.body_part.replace("_", "").replace(" ", "") in OTHER_PARTS:
        return Exclusion("other body part", f"The body part is {facts.body_part.lower()}, not the head.", 0.9)
    spoken = OTHER_PART_WORDS.intersection(_tokens(facts))
    if spoken:
        return Exclusion(
            "other body part", f"The description says {sorted(spoken)[0]!r}, a part other than the brain.", 0.85
        )
    return None


def _size(facts: HeaderFacts) -> Exclusion | None:
    if facts.repeats > 4:
        says = f"It has {facts.repeats} volumes in one place: a time series or a set of directions."
        return Exclusion("time series", says, 0.95)
    if facts.slices < 2:
        return Exclusion("single image", "It has one slice; a volume needs more.", 1.0)
    if facts.slices < FEWEST_SLICES:
        return Exclusion("few slices", f"It has {facts.slices} slices, too few for a volume of the brain.", 0.95)
    return None
