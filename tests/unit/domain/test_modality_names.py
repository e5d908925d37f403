"""Sequences are recognised in file names."""

import pytest

from brats_mm.domain.modality import Modality
from brats_mm.domain.name_rules import read_name
from brats_mm.domain.sequence_names import find_modalities, is_label_name

T1, T1CE, T2, FLAIR = Modality

CLEAR = {
    "Brats18_CBICA_ABO_1_t1": T1,
    "Brats18_CBICA_ABO_1_t1ce": T1CE,
    "BraTS2021_00000_flair": FLAIR,
    "BraTS-GLI-00005-100-t1n": T1,
    "BraTS-GLI-00005-100-t1c": T1CE,
    "BraTS-GLI-00005-100-t2w": T2,
    "BraTS-GLI-00005-100-t2f": FLAIR,
    "UPENN-GBM-00001_11_T1GD": T1CE,
    "UPENN-GBM-00001_11_FLAIR": FLAIR,
    "UCSF-PDGM-0004_T1c": T1CE,
    "VSD.Brain.XX.O.MR_T1c.54514": T1CE,
    "VSD.Brain.XX.O.MR_Flair.54512": FLAIR,
    "sub-01_ce-gadolinium_T1w": T1CE,
    "sub-01_T1w": T1,
    "sub-01_FLAIR": FLAIR,
    "T1-post": T1CE,
    "ax t1 post contrast": T1CE,
    "T1_Gd": T1CE,
    "T1+C": T1CE,
    "T1_pre": T1,
    "T1_pre_contrast": T1,
    "T1_without_Gd": T1,
    "T2_FLAIR": FLAIR,
    "t2_tirm_tra_dark-fluid": FLAIR,
    "fla": FLAIR,
    "t2": T2,
}


@pytest.mark.parametrize(("stem", "modality"), CLEAR.items(), ids=CLEAR.keys())
def test_recognises_naming_conventions(stem, modality):
    """Names of challenges, archives, BIDS and clinics."""
    assert find_modalities(stem) == {modality}


@pytest.mark.parametrize("stem", ["t2_to_t1", "T1_FLAIR", "t1_and_flair"])
def test_name_with_two_sequences_reports_both(stem):
    """The name is ambiguous."""
    assert len(find_modalities(stem)) == 2


@pytest.mark.parametrize("stem", ["BraTS2021_00000", "post_op", "gd", "at1", "t10", "", "brain"])
def test_other_names_give_no_sequence(stem):
    """A part of a word, or contrast alone, does not count."""
    assert find_modalities(stem) == set()


@pytest.mark.parametrize("stem", ["BraTS2021_00000_seg", "x-segauto", "VSD.Brain_3more.XX.O.OT.54517", "t1_mask"])
def test_recognises_label_maps(stem):
    """Names of label maps in the challenges."""
    assert is_label_name(stem)


@pytest.mark.parametrize("stem", ["T2_star", "ADC", "UCSF-PDGM-0004_SWI", "importance_t1ce_wt", "entropy_et"])
def test_ignores_other_images_and_results(stem):
    assert read_name(stem).kind
