"""BIDS datasets: participant, session, run and acquisition are chosen by label."""

import json

import pytest

from brats_mm.cohort.manifest import open_manifest
from brats_mm.domain.modality import Modality
from brats_mm.domain.options import BidsFilter
from brats_mm.errors import CaseError, OptionError
from brats_mm.io.bids import is_bids, iterate_bids_sessions, select_session
from brats_mm.io.case_files import find_bids_case
from brats_mm.io.recognise import recognise
from brats_mm.pipeline.load import load
from brats_mm.pipeline.request import make_request

T1, T1CE, T2, FLAIR = Modality


@pytest.fixture
def dataset(tmp_path):
    """Two participants. The first has two sessions, one of them with two runs and two acquisitions."""
    names = (
        "sub-01/ses-pre/anat/sub-01_ses-pre_acq-mprage_run-1_T1w.nii.gz",
        "sub-01/ses-pre/anat/sub-01_ses-pre_acq-mprage_run-02_T1w.nii.gz",
        "sub-01/ses-pre/anat/sub-01_ses-pre_acq-se_T1w.nii.gz",
        "sub-01/ses-pre/anat/sub-01_ses-pre_ce-gd_T1w.nii.gz",
        "sub-01/ses-pre/anat/sub-01_ses-pre_FLAIR.nii.gz",
        "sub-01/ses-post/anat/sub-01_ses-post_FLAIR.nii.gz",
        "sub-02/anat/sub-02_T2w.nii.gz",
    )
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "dataset_description.json").write_text(json.dumps({"Name": "x", "BIDSVersion": "1.10.0"}))
    return tmp_path


def named(dataset, requested):
    return [one.name for one in iterate_bids_sessions(dataset, requested)]


@pytest.mark.parametrize("label", ["01", "sub-01"])
def test_participant_is_chosen_with_or_without_prefix(dataset, label):
    assert named(dataset, BidsFilter((label,))) == ["sub-01_ses-post", "sub-01_ses-pre"]


def test_session_is_chosen(dataset):
    assert named(dataset, BidsFilter(session=("pre",))) == ["sub-01_ses-pre"]
    assert named(dataset, BidsFilter(("02",), ("pre",))) == []


def test_without_filters_all_sessions_are_listed(dataset):
    assert is_bids(dataset)
    assert named(dataset, None) == ["sub-01_ses-post", "sub-01_ses-pre", "sub-02"]


@pytest.mark.parametrize("run", ["2", "02", "run-2"])
def test_run_and_acquisition_filter_images(dataset, run):
    """Images without the entity are kept, and runs are compared as numbers."""
    files = find_bids_case(dataset, BidsFilter(("01",), ("pre",), run, "mprage"))
    names = {m: path.rsplit("_ses-pre_")[-1] for m, path in files.paths.items()}

    assert names == {T1: "acq-mprage_run-02_T1w.nii.gz", T1CE: "ce-gd_T1w.nii.gz", FLAIR: "FLAIR.nii.gz"}
    assert files.name == "sub-01_ses-pre"
    assert files.ignored["sub-01_ses-pre_acq-se_T1w.nii.gz"] == "acq-mprage was requested"


@pytest.mark.parametrize("run", ["²", "٢", "-2", "9" * 5000, "0"])
def test_run_that_no_image_has_selects_none_with_the_entity(dataset, run):
    files = find_bids_case(dataset, BidsFilter(("01",), ("pre",), run, "mprage"))
    assert set(files.paths) == {T1CE, FLAIR}


def test_two_images_of_a_sequence_need_a_choice(dataset):
    with pytest.raises(CaseError, match="several files match the same sequence: T1 could be"):
        find_bids_case(dataset, BidsFilter(("01",), ("pre",)))


def test_segment_needs_one_session(dataset):
    with pytest.raises(CaseError, match=r"2 sessions match.*sub-01_ses-post, sub-01_ses-pre.*--participant"):
        select_session(dataset, BidsFilter(("01",)))
    with pytest.raises(CaseError, match=r"No session matches.*sub-01_ses-post, sub-01_ses-pre, sub-02"):
        select_session(dataset, BidsFilter(("03",)))


def flat(tmp_path, *names):
    """Return images with BIDS names in the folders of a flattened zip."""
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def test_entities_of_names_select_images(tmp_path):
    """Zips are unpacked to one level of folders, so that only the names state the session."""
    folder = flat(
        tmp_path,
        "sub-01_ses-pre_anat/sub-01_ses-pre_run-1_T1w.nii.gz",
        "sub-01_ses-pre_anat/sub-01_ses-pre_run-2_T1w.nii.gz",
        "sub-01_ses-post_anat/sub-01_ses-post_T1w.nii.gz",
        "sub-02_anat/sub-02_FLAIR.nii.gz",
    )
    files = find_bids_case(folder, BidsFilter(("01",), ("pre",), run="2"))

    assert files.name == "sub-01_ses-pre"
    assert {m: path.rsplit("/", 1)[-1] for m, path in files.paths.items()} == {T1: "sub-01_ses-pre_run-2_T1w.nii.gz"}
    assert files.ignored == {
        "sub-01_ses-post_anat/sub-01_ses-post_T1w.nii.gz": "ses-pre was requested",
        "sub-01_ses-pre_anat/sub-01_ses-pre_run-1_T1w.nii.gz": "run-2 was requested",
        "sub-02_anat/sub-02_FLAIR.nii.gz": "sub-01 was requested",
    }
    with pytest.raises(CaseError, match=r"2 sessions match.*: sub-01_ses-post, sub-01_ses-pre\."):
        find_bids_case(folder, BidsFilter(("sub-01",)))
    with pytest.raises(CaseError, match="No session matches"):
        find_bids_case(folder, BidsFilter(("03",)))


def test_rejects_filter_for_other_inputs(dataset, tmp_path):
    image = next(dataset.rglob("*FLAIR.nii.gz"))
    with pytest.raises(OptionError, match="need a BIDS dataset"):
        recognise({"flair": image}, selection=BidsFilter(("01",)))
    with pytest.raises(OptionError, match="need a BIDS dataset"):
        load(make_request({"flair": str(image)}, participant="01"))


def test_rejects_folder_that_is_no_dataset(tmp_path):
    (tmp_path / "t1.nii.gz").touch()
    with pytest.raises(OptionError, match="need a BIDS dataset"):
        find_bids_case(tmp_path, BidsFilter(("01",)))
    with pytest.raises(OptionError, match="need a BIDS dataset"):
        open_manifest(tmp_path, BidsFilter(("01",)))


def test_cohort_takes_same_filters(dataset):
    manifest = open_manifest(dataset, BidsFilter(session=("pre",), run="1", acquisition="mprage"))
    (case,) = manifest.cases()

    assert manifest.count == 1
    assert case.name == "sub-01_ses-pre"
    assert list(case.files) == [T1, T1CE, FLAIR]
    assert case.files[T1].endswith("acq-mprage_run-1_T1w.nii.gz")


def test_session_with_ambiguous_images_is_a_failed_case(dataset):
    manifest = open_manifest(dataset, BidsFilter(("01",), ("pre",), run="1"))
    (case,) = manifest.cases()

    assert "several files match the same sequence" in case.fault
