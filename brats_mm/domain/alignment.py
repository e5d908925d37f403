"""Measures of a rigid registration, and the warnings derived from them.

No single measure proves that a registration is correct. Each threshold separates good registrations from deliberately
perturbed ones. `docs/raw_scans.md` has the figures.
"""

from dataclasses import dataclass

LARGEST_ROTATION_DEG = 30.0
LARGEST_SHIFT_MM = 60.0
"""Largest plausible rotation and shift of the head between the sequences of one session."""

LEAST_COVERED = 0.5
"""Fraction of the reference's head that the other sequence must show."""

LEAST_HEAD_OVERLAP = 0.85
LEAST_INFORMATION_NATS = 0.2
LEAST_EDGE_AGREEMENT = 0.4
LEAST_PEAK = 0.3


@dataclass(frozen=True)
class Alignment:
    """Measures of a registration.

    Attributes:
        start: initialisation of the search: the header's geometry or the centres of the heads.
        rotation_deg: rotation angle.
        shift_mm: shift of the centre of the head.
        covered: fraction of the reference's head inside the other's field of view.
        information_before_nats, information_nats: mutual information inside the head, before and after registration.
        peak: smallest loss of mutual information when the transform is perturbed by 10 mm or 10 degrees. 0 or less if a
            perturbation changes nothing or helps.
        head_overlap: Dice of the two head masks.
        edge_agreement: correlation of the gradient magnitudes inside the head, -1 to 1.
    """

    start: str
    rotation_deg: float
    shift_mm: float
    covered: float
    information_before_nats: float
    information_nats: float
    peak: float
    head_overlap: float
    edge_agreement: float


def registration_warnings(alignment: Alignment) -> tuple[str, ...]:
    """Return the reasons to check a registration. Empty if there are none."""
    warnings = []
    if alignment.covered < LEAST_COVERED:
        warnings.append(f"it covers only {alignment.covered:.0%} of the head")
    if alignment.head_overlap < LEAST_HEAD_OVERLAP:
        warnings.append(f"the heads overlap only with a Dice of {alignment.head_overlap:.2f}")
    if alignment.information_nats < LEAST_INFORMATION_NATS:
        warnings.append(f"the mutual information is low ({alignment.information_nats:.2f} nats)")
    if alignment.information_nats < alignment.information_before_nats:
        warnings.append("the mutual information is lower than with the alignment of the headers")
    if alignment.peak < LEAST_PEAK:
        warnings.append("a shift by 10 mm or a rotation by 10 degrees fits about as well")
    if alignment.edge_agreement < LEAST_EDGE_AGREEMENT:
        warnings.append(f"the edges have a correlation of only {alignment.edge_agreement:.2f}")
    if alignment.rotation_deg > LARGEST_ROTATION_DEG or alignment.shift_mm > LARGEST_SHIFT_MM:
        warnings.append(f"it moves the head by {alignment.shift_mm:.0f} mm and {alignment.rotation_deg:.0f} degrees")
    return tuple(warnings)
