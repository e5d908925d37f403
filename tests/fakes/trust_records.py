"""Synthetic records of an evaluation: the true Dice grows with the sequences, and the estimate follows it."""

from brats_mm.domain.availability import SUBSETS, format_subset
from brats_mm.domain.modality import Modality
from brats_mm.domain.regions import REGIONS
from brats_mm.trust.record import TrustRecord


def made_records(cases: int = 12) -> list[TrustRecord]:
    """Return records in which each sequence adds 0.1 to the Dice, T1ce 0.3. Estimates are 0.1 too high.

    The predicted volume is 10 mL. The true volume grows by a tenth per case.
    """
    records = []
    for case in range(cases):
        for subset in SUBSETS:
            dice = 0.1 * len(subset) + 0.2 * (Modality.T1CE in subset) + 0.1 * case / cases
            records += [
                TrustRecord(
                    case=f"case{case}",
                    subset=format_subset(subset),
                    region=region.value,
                    dice=dice,
                    estimated_dice=dice + 0.1,
                    predicted_ml=10.0,
                    reference_ml=10.0 * (1 + 0.1 * case),
                    expected_ml=10.0,
                    mean_entropy_nats=0.3,
                    class_ece=0.1,
                    class_ece_uncalibrated=0.2,
                )
                for region in REGIONS
            ]
    return records
