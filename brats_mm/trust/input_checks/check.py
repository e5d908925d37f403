"""Check the images of a case before segmentation, and warn about images that the model was not trained for."""

from collections.abc import Mapping

import numpy as np

from brats_mm.domain.availability import sort_modalities
from brats_mm.domain.modality import Modality
from brats_mm.domain.orientation import FRONT_LEAD, MAX_BRAIN_ML, MIN_BRAIN_ML, compute_anterior_offset
from brats_mm.domain.volume import Volume
from brats_mm.trust.input_checks.artefacts import check_artefacts
from brats_mm.trust.input_checks.coarse import STEP_MM, CoarseImage, fit_frame, sample_coarse_image, unite_foregrounds
from brats_mm.trust.input_checks.contrast import compute_contrast_features, find_likely_assignment
from brats_mm.trust.input_checks.finding import Check as Check  # noqa: PLC0414 (re-exported)
from brats_mm.trust.input_checks.finding import Finding as Finding  # noqa: PLC0414 (re-exported)
from brats_mm.trust.input_checks.orientation import UPRIGHT, measure_shape
from brats_mm.trust.input_checks.reference import Reference, load_default_reference

BINS = 256
FULLEST = 4
CEILING_PERCENTILE = 99.5


def measure_flat_share(image: CoarseImage) -> float:
    """Return the fraction of the foreground in the four fullest of 256 bins of grey values, 0 to 1.

    Scans spread over many grey values. A mask or a label map has few, even after interpolation.

    Args:
        image: image with foreground.
    """
    values = image.values[image.inside]
    top = float(np.percentile(values, CEILING_PERCENTILE))
    low = min(0.0, float(values.min()))
    counts, _ = np.histogram(np.clip(values, low, top), BINS, (low, max(top, low + 1e-6)))
    return float(np.sort(counts)[-FULLEST:].sum() / values.size)


MIN_VOXELS = 100
"""Minimum foreground of an image to check in coarse voxels: 6.4 mL."""

FRONT_WARNING = (
    "Front and back appear swapped: the lowest part of the brain lies at its front. Check the orientation in a "
    "viewer. If it is wrong, convert the images again or correct their header. Left and right can be swapped too."
)


def check_inputs(volumes: Mapping[Modality, Volume], reference: Reference | None = None) -> tuple[Finding, ...]:
    """Check skull-stripped images on one grid. Takes about 0.1 s for four sequences.

    The contrast is checked only in whole brains whose orientation matches the header. The position of the brain's
    lowest part is checked in partial fields of view too, unless the head is already known to be turned.

    Args:
        volumes: sequences of a case.
        reference: reference to compare with. Defaults to that of the package.
    """
    expected = reference or load_default_reference()
    images = {m: sample_coarse_image(volumes[m]) for m in sort_modalities(volumes)}
    images = {m: image for m, image in images.items() if np.count_nonzero(image.inside) >= MIN_VOXELS}
    if not images:
        return ()
    findings = [_make_flat_finding(m, measure_flat_share(image), expected) for m, image in images.items()]
    images = {m: scan for (m, scan), finding in zip(images.items(), findings, strict=True) if finding.warning is None}
    if not images:
        return tuple(findings)
    head = unite_foregrounds(images.values())
    shape = measure_shape(head, expected.mean_brain)
    is_brain = shape.likeness >= expected.least_likeness and MIN_BRAIN_ML <= shape.volume_ml <= MAX_BRAIN_ML
    findings.append(
        Finding(Check.SHAPE, shape.likeness, None if is_brain else _format_no_brain_warning(shape.volume_ml))
    )
    is_turned = is_brain and shape.turn != UPRIGHT and shape.lead > expected.turn_lead
    if is_brain:
        findings.append(Finding(Check.TURN, shape.lead, _turn_warning(shape.turn.words) if is_turned else None))
    lead = None if is_turned else compute_anterior_offset(head, (STEP_MM, STEP_MM, STEP_MM))
    is_backwards = lead is not None and lead > FRONT_LEAD
    if lead is not None:
        findings.append(Finding(Check.FRONT, lead, FRONT_WARNING if is_backwards else None))
    if not is_brain or is_turned or is_backwards:
        return tuple(findings)
    frame = fit_frame(head)
    likely = find_likely_assignment(
        {m: expected.contrast.log_likelihoods(compute_contrast_features(scan, frame)) for m, scan in images.items()}
    )
    is_swapped = likely.lead > expected.swap_lead[len(images) - 1]
    findings.append(Finding(Check.SWAP, likely.lead, _format_swap_warning(likely.contrasts) if is_swapped else None))
    return tuple(findings)


def find_input_warnings(volumes: Mapping[Modality, Volume]) -> tuple[str, ...]:
    """Return the warnings of `check_inputs`, and of `check_artefacts` for images of a whole brain.

    Args:
        volumes: sequences of a case, skull-stripped and on one grid.
    """
    findings = check_inputs(volumes)
    no_scans = any(finding.warning and finding.check in (Check.FLAT, Check.SHAPE) for finding in findings)
    artefacts = () if no_scans or not findings else check_artefacts(volumes)
    return tuple(finding.warning for finding in (*findings, *artefacts) if finding.warning is not None)


def _make_flat_finding(modality: Modality, share: float, expected: Reference) -> Finding:
    warning = (
        f"{modality.label} looks like a mask, a label map or a probability map: {share:.0%} of its foreground has "
        "nearly the same values. Provide the MR sequence itself."
    )
    return Finding(Check.FLAT, share, warning if share > expected.flat_share else None)


def _format_no_brain_warning(volume_ml: float) -> str:
    return (
        f"The images do not have the shape of a whole brain ({volume_ml / 1000:.2f} L of foreground). Check that "
        "they show a whole brain without skull. Results for other images are meaningless."
    )


def _turn_warning(text: str) -> str:
    return (
        f"The head seems to have {text}, compared with the header. Check the orientation in a viewer. If it is "
        "wrong, left and right can be swapped too."
        if text.endswith("swapped")
        else f"The head seems to be {text} than the header states. Check the orientation in a viewer."
    )


def _format_swap_warning(contrasts: Mapping[Modality, Modality]) -> str:
    changed = {given: likely for given, likely in contrasts.items() if given is not likely}
    descriptions = ", ".join(
        f"the image given as {given.label} looks like {contrast.label}" for given, contrast in changed.items()
    )
    return f"{descriptions[0].upper()}{descriptions[1:]}. Check that each sequence was given under its own name."
