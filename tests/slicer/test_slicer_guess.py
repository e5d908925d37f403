"""Which loaded volume is which sequence: the same as the library says by name, and what DICOM fields add."""

import pytest

from brats_mm.domain import modality
from brats_mm.domain.sequence_names import ImageName, read_image_names
from BratsMMLib.guess import DICOM_FIELDS, Loaded, guess
from BratsMMLib.sequences import DECATHLON, SEQUENCES, Sequence, read_names, sequences_in

NAMES = (
    ["BraTS-GLI-00000-000-t1n", "BraTS-GLI-00000-000-t1c", "BraTS-GLI-00000-000-t2w", "BraTS-GLI-00000-000-t2f"],
    ["BraTS2021_00003_t1", "BraTS2021_00003_t1ce", "BraTS2021_00003_flair", "BraTS2021_00003_seg"],
    ["T1", "T1 post Gd", "T2", "T2 FLAIR"],
    ["T1_pre_contrast", "T1+C", "Ax T2 TSE", "Sag FLAIR SPACE"],
    ["5: t1_mprage_sag", "7: t1_mprage_sag_km", "3: t2_tirm_tra"],
    ["case_0000", "case_0001", "case_0002", "case_0003"],
    ["T1_study_007_flair", "T1_study_007_t2", "T1_study_007_mask"],
    ["T2_star", "SWI", "ADC map", "DWI b1000", "perfusion rCBV"],
    ["UPENN-GBM-00002_11_T1GD_unstripped", "UPENN-GBM-00002_11_FLAIR"],
    ["t2_to_t1", "unnamed", ""],
    ["FLAIR"],
    ["T1 without Gd", "T1 non contrast", "3D T1 gad"],
)


@pytest.mark.parametrize("names", NAMES, ids=lambda names: names[0] or "empty")
def test_names_are_read_as_the_library_reads_them(names):
    """Sequence, label, other image and channel number: all the same."""
    ours = read_names(names)
    theirs = read_image_names([ImageName(name) for name in names], folder="")
    for mine, other in zip(ours, theirs, strict=True):
        assert [one.value for one in mine.sequences] == [one.value for one in other.modalities]
        assert (mine.is_label, mine.is_other, mine.number) == (other.is_label, other.is_other, other.number)


def test_tables_are_those_of_the_library():
    """Names, tokens and orders, one by one."""
    from BratsMMLib import sequences

    assert [(one.value, one.label) for one in SEQUENCES] == [(m.value, m.label) for m in modality.MODALITIES]
    assert {name: one.value for name, one in sequences.ALIASES.items()} == {
        name: one.value for name, one in modality.ALIASES.items()
    }
    assert sequences.CONTRAST == modality.CONTRAST_TOKENS
    assert sequences.NATIVE == modality.NATIVE_TOKENS
    assert sequences.LABELS == modality.LABEL_TOKENS
    assert sequences.OTHERS == modality.OTHER_IMAGE_TOKENS
    assert [one.value for one in DECATHLON] == [one.value for one in modality.MSD_CHANNELS]


def chosen(*volumes):
    return {sequence: found.key for sequence, found in guess(volumes).items() if found.key}


def test_named_volumes_are_chosen_with_the_reason():
    """Those that are missing say so."""
    found = guess([Loaded("a", "study_T1ce"), Loaded("b", "study_FLAIR"), Loaded("c", "study_seg")])
    assert found[Sequence.T1CE].key == "a"
    assert found[Sequence.T1CE].reason == "Its name says so: “study_T1ce”."
    assert found[Sequence.FLAIR].key == "b"
    assert found[Sequence.T1].key is None
    assert "Leave it empty" in found[Sequence.T1].reason


def test_two_equal_candidates_are_left_to_the_person():
    """Neither is chosen, and both are named."""
    found = guess([Loaded("a", "T2 tra"), Loaded("b", "T2 cor")])[Sequence.T2]
    assert found.key is None
    assert found.reason == "T2 tra and T2 cor could each be T2. Choose one."


@pytest.mark.parametrize(
    ("dicom", "sequence", "said"),
    [
        ({"SeriesDescription": "t2_flair_tra"}, Sequence.FLAIR, "SeriesDescription"),
        ({"ProtocolName": "T1 3D", "ContrastBolusAgent": "Gadovist"}, Sequence.T1CE, "ProtocolName"),
        (
            {"EchoTime": "120", "RepetitionTime": "9000", "InversionTime": "2500"},
            Sequence.FLAIR,
            "inversion time of 2500",
        ),
        ({"EchoTime": "96", "RepetitionTime": "4500"}, Sequence.T2, "repetition time of 4500"),
        ({"EchoTime": "3.2", "InversionTime": "900"}, Sequence.T1, "no contrast"),
        ({"EchoTime": "3.2", "ContrastBolusAgent": "Dotarem"}, Sequence.T1CE, "and contrast"),
    ],
)
def test_dicom_fields_speak_where_the_name_does_not(dicom, sequence, said):
    """Description first, then echo, repetition and inversion time."""
    found = guess([Loaded("a", "12: series", dicom)])
    assert found[sequence].key == "a"
    assert said in found[sequence].reason


def test_contrast_agent_makes_a_t1_by_name_a_t1ce():
    """Unless the name says that there was none."""
    assert chosen(Loaded("a", "T1 tra", {"ContrastBolusAgent": "Gadovist"})) == {Sequence.T1CE: "a"}
    assert chosen(Loaded("a", "T1 native", {"ContrastBolusAgent": "Gadovist"})) == {Sequence.T1: "a"}


@pytest.mark.parametrize(
    "dicom",
    [
        {"SeriesDescription": "ADC t2"},
        {"ImageType": "DERIVED\\SECONDARY\\MPR", "EchoTime": "3"},
        {"Modality": "CT", "EchoTime": "3"},
        {"ScanningSequence": "EP", "EchoTime": "90", "RepetitionTime": "4000"},
    ],
)
def test_other_images_are_not_chosen(dicom):
    """Diffusion, reformats, other machines."""
    assert chosen(Loaded("a", "series", dicom)) == {}


def test_channel_numbers_are_those_of_the_decathlon():
    """Where names say nothing else."""
    found = chosen(*(Loaded(str(number), f"BRATS_001_000{number}") for number in range(4)))
    assert found == {Sequence.FLAIR: "0", Sequence.T1: "1", Sequence.T1CE: "2", Sequence.T2: "3"}


def test_no_dicom_field_says_who_the_patient_is():
    """Only what the scanner did is asked for."""
    assert not [name for name in DICOM_FIELDS if "Patient" in name or "Name" in name.replace("ProtocolName", "")]


def test_a_dash_and_a_plus_do_not_matter():
    """As in the library."""
    assert sequences_in("T1-post") == sequences_in("t1 + C") == (Sequence.T1CE,)
