"""Files of two examinations are not combined into one case, and images in atlas space raise a warning."""

import nibabel as nib
import numpy as np
import pytest

from brats_mm.domain.time_points import differ_in_time
from brats_mm.errors import CaseError
from brats_mm.io.case import read_scans
from brats_mm.io.case_files import find_case
from brats_mm.io.recognise import recognise

TWO_EXAMINATIONS = [
    ("P1_20190101_t1ce", "P1_20200101_flair"),
    ("P1_2019-01-01_t1ce", "P1_2019-06-01_flair"),
    ("20190101T093000_t1ce", "20190102T093000_flair"),
    ("sub-01_ses-01_T1w", "sub-01_ses-02_FLAIR"),
    ("sub-01_ses-pre_T1w", "sub-01_ses-post_FLAIR"),
    ("baseline_t1", "followup_flair"),
    ("T1_Gd_pre-op", "FLAIR_post-op"),
    ("T1_week04", "FLAIR_week12"),
    ("time1_t1", "time2_flair"),
    ("t1_3months", "flair_6months"),
    ("2019/t1", "2020/flair"),
    ("visit1/t1", "visit2/flair"),
]
ONE_EXAMINATION = [
    ("P1_20190101_t1ce", "P1_20190101_flair"),
    ("20190101T093000_t1ce", "20190101T094512_flair"),
    ("sub-01_ses-01_T1w", "sub-01_ses-01_FLAIR"),
    ("T1_post-op", "FLAIR"),
    ("T1_pre", "T1_post", "flair"),
    ("scan1_t1", "scan2_flair"),
    ("series_0003_t1", "series_0005_flair"),
    ("1.2.840.113619.2.19990101999_t1", "1.2.840.113619.2.20990101999_flair"),
    ("visit01_t1", "visit1_flair"),
    ("BraTS2021_00003_t1", "BraTS2021_00003_flair"),
    ("UPENN-GBM-00055_11_t1", "UPENN-GBM-00055_11_flair"),
]


@pytest.mark.parametrize("names", TWO_EXAMINATIONS)
def test_names_of_two_examinations_differ(names):
    assert differ_in_time(names)


@pytest.mark.parametrize("names", ONE_EXAMINATION)
def test_names_of_one_examination_agree(names):
    assert not differ_in_time(names)


def write(folder, *names, code=1):
    """Write volumes with arbitrary voxels, by path below the folder."""
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        image = nib.Nifti1Image(np.random.default_rng(number).integers(0, 900, (9, 9, 9)).astype(np.int16), np.eye(4))
        image.set_sform(np.eye(4), code)
        image.to_filename(folder / f"{name}.nii.gz")


@pytest.mark.parametrize("names", [TWO_EXAMINATIONS[0], TWO_EXAMINATIONS[3], TWO_EXAMINATIONS[-1]])
def test_two_examinations_are_no_case(tmp_path, names):
    write(tmp_path, *names)

    with pytest.raises(CaseError, match=r"(?i)the names state different time points: .*t1.*flair.*--t1, --t1ce"):
        find_case(tmp_path)


def test_same_sequence_at_two_time_points_is_explained(tmp_path):
    write(tmp_path, "2019-01-01_t1", "2020-01-01_t1")

    with pytest.raises(CaseError, match=r"T1 could be 2019.* or 2020.*Their names state different time points"):
        find_case(tmp_path)


def test_dataset_without_selection_names_the_options(tmp_path):
    write(tmp_path, "sub-01/ses-01/anat/sub-01_ses-01_T1w", "sub-01/ses-02/anat/sub-01_ses-02_T1w")

    with pytest.raises(CaseError, match=r"holds the folders sub-01\. It looks like a BIDS dataset\..*--participant"):
        find_case(tmp_path)


def test_nested_folders_are_not_called_empty(tmp_path):
    write(tmp_path, "patient/study/t1")

    with pytest.raises(CaseError, match=r"holds the folders patient\. Provide the folder that directly holds"):
        find_case(tmp_path)


@pytest.mark.parametrize(("code", "space"), [(4, "MNI 152"), (3, "Talairach")])
def test_atlas_of_header_raises_one_warning(tmp_path, code, space):
    write(tmp_path, "t1", "flair", code=code)

    warnings = read_scans(recognise(tmp_path)).warnings

    assert len(warnings) == 1
    assert warnings[0].startswith(f"T1, FLAIR: the header states {space} space, so volumes in mL")


@pytest.mark.parametrize(
    ("names", "is_atlas"),
    [
        (("sub-01_space-MNI152NLin2009cAsym_T1w", "sub-01_space-MNI152NLin2009cAsym_FLAIR"), True),
        (("T1_to_MNI", "FLAIR_to_MNI"), True),
        (("T1CE_to_SRI", "FL_to_SRI"), False),
        (("omni_t1", "omni_flair"), False),
    ],
)
def test_atlas_of_names_raises_a_note(tmp_path, names, is_atlas):
    write(tmp_path, *names)

    assert ("in atlas space" in " ".join(find_case(tmp_path).notes)) == is_atlas


def test_unfetched_sequence_raises_a_note(tmp_path):
    """The other sequences are used. Without the note, the user would not know that T1ce is missing."""
    write(tmp_path, "flair")
    (tmp_path / "case_t1ce.nii.gz").symlink_to(".git/annex/objects/x.nii.gz")
    (tmp_path / "case_t2.nii.bz2").touch()
    (tmp_path / "flair_copy.nii.gz").symlink_to("nothing")

    notes = find_case(tmp_path).notes

    assert [note.partition(":")[0] for note in notes] == ["T1ce is missing", "T2 is missing"]
    assert "broken link" in notes[0]
    assert "compression" in notes[1]
