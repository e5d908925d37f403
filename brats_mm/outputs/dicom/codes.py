"""Coded concepts of DICOM results: codes of the standard if they exist, otherwise private codes."""

from typing import Any

from brats_mm.domain.entropy import MAX_COMPARTMENT_NATS
from brats_mm.domain.modality import Modality
from brats_mm.domain.regions import Code, Region
from brats_mm.trust.case_dice import Grade

SCHEME = "99BRATSMM"
"""Coding Scheme Designator of the private codes. Private designators start with 99 (PS3.3, 8.2)."""

MILLILITRE = Code("UCUM", "mL", "Milliliter")
NO_UNITS = Code("UCUM", "1", "no units")
VOLUME = Code("SCT", "118565006", "Volume")
COMMENT = Code("DCM", "121106", "Comment")
REPORT_TITLE = Code("DCM", "126000", "Imaging Measurement Report")
PROCEDURE = Code("LN", "24590-2", "Brain MRI")
ARTIFICIAL_INTELLIGENCE = Code("DCM", "123110", "Artificial Intelligence")
NEOPLASM = Code("SCT", "108369006", "Neoplasm")

ENTROPY = Code(SCHEME, "entropy-comp", "Entropy of the predicted compartment")
"""Over none, oedema, necrosis and enhancing at a voxel, in nats: 0 to ln 4. No standard coding scheme defines it."""
MEAN_ENTROPY = Code(SCHEME, "entropy-comp-m", "Mean entropy of the predicted compartment")
MEAN_REGION_ENTROPY = Code(SCHEME, "entropy-region-m", "Mean entropy of the predicted region")
EXPECTED_DICE = Code(SCHEME, "dice-expected", "Expected Dice coefficient of the outline")
EXPECTED_DICE_LOW = Code(SCHEME, "dice-expected-low", "Lower limit of the expected Dice coefficient")
EXPECTED_DICE_HIGH = Code(SCHEME, "dice-expected-high", "Upper limit of the expected Dice coefficient")
VOLUME_LOW = Code(SCHEME, "volume-low", "Lower limit of the volume")
VOLUME_HIGH = Code(SCHEME, "volume-high", "Upper limit of the volume")
RELIABILITY = Code(SCHEME, "reliability", "Reliability of the outline in this case")
GRADES = {grade: Code(SCHEME, grade.value, grade.value.capitalize()) for grade in Grade}
SEQUENCE_USED = Code(SCHEME, "sequence-used", "MR sequence used")
SEQUENCE_MISSING = Code(SCHEME, "sequence-missing", "MR sequence missing")

SEQUENCES = {modality: Code(SCHEME, modality.value, modality.label) for modality in Modality}
REGION_NAMES = {region: Code(SCHEME, region.value, region.label.capitalize()) for region in Region}

ENTROPY_EXPLANATION = f"Entropy of compartment in nats, 0 (certain) to ln 4 = {MAX_COMPARTMENT_NATS:.3f}"


def make_concept(code: Code) -> Any:
    """Return the code for highdicom."""
    from highdicom.sr import CodedConcept

    return CodedConcept(value=code.value, scheme_designator=code.scheme, meaning=code.meaning)


def build_coding_schemes() -> list[Any]:
    """Return the description of the private coding scheme."""
    from highdicom.coding_schemes import CodingSchemeIdentificationItem

    return [CodingSchemeIdentificationItem(SCHEME, name="BraTS-MM", responsible_organization="BraTS-MM")]
