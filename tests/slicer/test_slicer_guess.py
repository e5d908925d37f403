"""Recognise the sequence of loaded volumes by name (`tests/names` has the table) and DICOM fields."""

import pytest

from brats_mm.domain import modality
from BratsMMLib.guess import DICOM_FIELDS, Loaded, guess
from BratsMMLib.sequences import SEQUENCES, Sequence, read_names


def chosen(*volumes):
    return {sequence: result.key for sequence, result in guess(volumes).items() if result.key}


def test_named_volumes_are_chosen_with_reason():
    """The reason of an empty selector says that no volume matches."""
    guesses = guess([Loaded("a", "study_T1ce"), Loaded("b", "study_FLAIR"), Loaded("c", "study_seg")])
    assert guesses[Sequence.T1CE].key == "a"
    assert guesses[Sequence.T1CE].reason == "Recognised by its name “study_T1ce”."
    assert guesses[Sequence.FLAIR].key == "b"
    assert guesses[Sequence.T1].key is None
    assert "Leave it empty" in guesses[Sequence.T1].reason


def test_two_equal_candidates_are_left_to_user():
    """Neither volume is chosen, and the reason names both."""
    guesses = guess([Loaded("a", "T2 tra"), Loaded("b", "T2 cor")])[Sequence.T2]
    assert guesses.key is None
    assert guesses.reason == "T2 tra and T2 cor could each be T2. Choose one."


@pytest.mark.parametrize(
    ("dicom", "sequence", "message"),
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
def test_dicom_fields_decide_when_name_does_not(dicom, sequence, message):
    """The description takes precedence over echo, repetition and inversion time."""
    guesses = guess([Loaded("a", "12: series", dicom)])
    assert guesses[sequence].key == "a"
    assert message in guesses[sequence].reason


def test_contrast_agent_turns_t1_into_t1ce():
    """A name that denies contrast takes precedence."""
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
    """Diffusion images, reformats and images of other modalities are skipped."""
    assert chosen(Loaded("a", "series", dicom)) == {}


def test_channel_numbers_follow_decathlon():
    """Channel numbers count only if names contain no other evidence."""
    result = chosen(*(Loaded(str(number), f"BRATS_001_000{number}") for number in range(4)))
    assert result == {Sequence.FLAIR: "0", Sequence.T1: "1", Sequence.T1CE: "2", Sequence.T2: "3"}


def test_dicom_fields_do_not_identify_patient():
    """All requested fields describe the acquisition."""
    assert not [name for name in DICOM_FIELDS if "Patient" in name or "Name" in name.replace("ProtocolName", "")]


def test_sequences_match_library():
    """Names, labels and order are the same."""
    assert [(one.value, one.label) for one in SEQUENCES] == [(m.value, m.label) for m in modality.MODALITIES]


def test_common_prefix_of_names_is_ignored():
    """The common prefix of all names is the case's name."""
    result = read_names(["T1_study_007_flair", "T1_study_007_C+", "T1_study_007_mask"])
    assert result[0].sequences == (Sequence.FLAIR,)
    assert result[2].is_label


def test_ambiguous_name_is_left_to_user():
    """The header does not resolve an ambiguous name."""
    assert chosen(Loaded("a", "T1 pre and post", {"EchoTime": "3"})) == {}


def test_prefers_original_to_annotated_copy():
    """A copy is used if there is no original."""
    assert chosen(Loaded("a", "T1_annotated"), Loaded("b", "T1")) == {Sequence.T1: "b"}
    assert chosen(Loaded("a", "T1_annotated")) == {Sequence.T1: "a"}
