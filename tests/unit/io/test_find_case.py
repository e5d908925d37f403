"""The sequences of the files in a folder are recognised."""

import json
import os

import pytest

from brats_mm.domain.modality import Modality
from brats_mm.errors import CaseError, VolumeError
from brats_mm.io.case import build_explicit_case, find_case, read_case
from brats_mm.io.dicom.header import is_dicom
from brats_mm.io.unfetched import is_unfetched
from brats_mm.io.zip import is_zip

T1, T1CE, T2, FLAIR = Modality


def folder_of(tmp_path, *names, case="case"):
    """Create a folder with empty files of these names."""
    for name in names:
        (tmp_path / case / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / case / name).touch()
    return tmp_path / case


def found_in(folder):
    """Return the file name by sequence, in channel order."""
    return {modality: path.rsplit("/", 1)[-1] for modality, path in find_case(folder).paths.items()}


CONVENTIONS = {
    "BraTS 2018": ("B_1_t1.nii.gz", "B_1_t1ce.nii.gz", "B_1_t2.nii.gz", "B_1_flair.nii.gz"),
    "BraTS 2023": ("B-1-t1n.nii.gz", "B-1-t1c.nii.gz", "B-1-t2w.nii.gz", "B-1-t2f.nii.gz"),
    "UPENN-GBM": ("U-1_11_T1.nii.gz", "U-1_11_T1GD.nii.gz", "U-1_11_T2.nii.gz", "U-1_11_FLAIR.nii.gz"),
    "clinical": ("T1 pre.nii", "T1 post Gd.nii", "T2.nii", "T2 FLAIR.nii"),
    "BIDS": ("s_T1w.nii.gz", "s_ce-gd_T1w.nii.gz", "s_T2w.nii.gz", "s_FLAIR.nii.gz"),
    "only words": ("t1.mha", "t1c.mha", "t2.nrrd", "flair.mhd"),
}


@pytest.mark.parametrize("names", CONVENTIONS.values(), ids=CONVENTIONS.keys())
def test_recognises_naming_conventions(tmp_path, names):
    """All four sequences are recognised, and the case has the folder's name."""
    folder = folder_of(tmp_path, *names)

    assert tuple(found_in(folder).values()) == names
    assert find_case(folder).name == "case"


def test_reads_brats_2015_sub_folders(tmp_path):
    """Each sequence and the labels have their own subfolder."""
    names = [f"VSD.Brain.XX.O.MR_{word}.{n}" for n, word in enumerate(("T1", "T1c", "T2", "Flair"))]
    names.append("VSD.Brain_3more.XX.O.OT.9")
    case = find_case(folder_of(tmp_path, *(f"{name}/{name}.mha" for name in names)))

    assert [path.rsplit("/", 1)[-1] for path in case.paths.values()] == [f"{name}.mha" for name in names[:4]]
    assert case.ignored == {f"{names[4]}/{names[4]}.mha": "its name marks a label map"}


def test_sub_folder_may_name_the_sequence(tmp_path):
    """Files that are all called the same."""
    folder = folder_of(tmp_path, "T1/image.nii.gz", "T2_FLAIR/image.nii.gz")

    assert list(find_case(folder).paths) == [T1, FLAIR]


def test_labels_and_others_are_ignored_with_a_reason(tmp_path):
    """Every ignored file has a reason."""
    names = ("a_t1.nii.gz", "a_seg.nii.gz", "a_adc.nii.gz", "a_x.nii.gz", "notes.txt", ".DS_Store", "entropy_et.nii.gz")
    case = find_case(folder_of(tmp_path, *names))

    assert list(case.paths) == [T1]
    assert case.ignored == {
        ".DS_Store": "it is a hidden file",
        "a_adc.nii.gz": "its name marks another kind of image or a result (ADC map: 'adc')",
        "a_seg.nii.gz": "its name marks a label map",
        "a_x.nii.gz": "its name contains no sequence",
        "entropy_et.nii.gz": (
            "its name marks another kind of image or a result (a result of a segmentation: 'entropy')"
        ),
        "notes.txt": "it is not a volume file (.nii.gz, .nii, .mha, .mhd, .nrrd, .nhdr, .mgz, .img/.hdr)",
    }
    assert case.missing == {T1CE, T2, FLAIR}


@pytest.mark.parametrize("case", ["T1_study_007", "post_seg_3", "flair_gd_x"])
def test_common_prefix_is_ignored(tmp_path, case):
    """The common prefix of all names is the case's name."""
    names = [f"{case}_{word}.nii.gz" for word in ("t1", "t1ce", "t2", "flair")]

    assert list(found_in(folder_of(tmp_path, *names)).values()) == names
    assert list(found_in(folder_of(tmp_path, *names[2:3], "other.nii.gz", case=case)).values()) == names[2:3]


def test_prefix_counts_if_nothing_else_names_a_sequence(tmp_path):
    """Both names start with `t1`, which is not a case name."""
    assert found_in(folder_of(tmp_path, "t1_pre.nii", "t1_post.nii")) == {T1: "t1_pre.nii", T1CE: "t1_post.nii"}


def test_channel_numbers_follow_decathlon_order(tmp_path):
    """A note reports the order."""
    case = find_case(folder_of(tmp_path, *(f"BRATS_001_000{n}.nii.gz" for n in range(4))))

    assert {m: path[-11:-7] for m, path in case.paths.items()} == {T1: "0001", T1CE: "0002", T2: "0003", FLAIR: "0000"}
    assert case.notes == (
        "the channel order is from the Medical Segmentation Decathlon: 0000 FLAIR, 0001 T1, 0002 T1ce, 0003 T2",
    )


@pytest.mark.parametrize("where", [".", "..", "../.."])
@pytest.mark.parametrize(
    "content",
    [
        {"channel_names": {"0": "T1", "1": "T1ce", "2": "T2", "3": "FLAIR"}},
        {"modality": {"0": "T1w", "1": "t1gd", "2": "T2w", "3": "FLAIR"}},
        {"modality": ["t1n", "t1c", "t2w", "t2f"]},
    ],
)
def test_channel_numbers_follow_dataset_json(tmp_path, where, content):
    """The dataset.json of nnU-Net or the Decathlon is next to the files or up to two folders above."""
    folder = folder_of(tmp_path / "set", *(f"case_000{n}.nii.gz" for n in (1, 3)), case="imagesTr/x")
    (folder / where / "dataset.json").write_text(json.dumps(content))

    case = find_case(folder)

    assert list(case.paths) == [T1CE, FLAIR]
    assert "dataset.json: " in case.notes[0]


def test_damaged_dataset_json_is_ignored(tmp_path):
    """The Decathlon's order is assumed, with a note."""
    folder = folder_of(tmp_path, "case_0002.nii.gz")
    (folder / "dataset.json").write_text("{")

    assert "Decathlon" in find_case(folder).notes[0]


def test_rejects_two_files_for_a_sequence(tmp_path):
    """The message names both files and the options to choose."""
    folder = folder_of(tmp_path, "a_t1c.nii.gz", "b_t1gd.nii.gz", "a_t2.nii", "a_t2.nii.gz")

    with pytest.raises(CaseError, match="several files") as error:
        find_case(folder)
    assert "T1ce could be a_t1c.nii.gz or b_t1gd.nii.gz; T2 could be a_t2.nii or a_t2.nii.gz" in str(error.value)
    assert "--t1, --t1ce, --t2, --flair" in str(error.value)


def test_rejects_name_with_two_sequences(tmp_path):
    """The file may be T2 on the grid of T1, so it is an error."""
    with pytest.raises(CaseError, match=r"are ambiguous: t2_to_t1\.nii\.gz \(T1 or T2\)"):
        find_case(folder_of(tmp_path, "t1.nii.gz", "t2_to_t1.nii.gz"))


def test_ignores_name_with_two_sequences_that_have_files(tmp_path):
    """The file may be a difference of two sequences."""
    case = find_case(folder_of(tmp_path, "t1.nii.gz", "t1ce.nii.gz", "t1ce_minus_t1.nii.gz"))

    assert list(case.paths) == [T1, T1CE]
    assert case.ignored == {"t1ce_minus_t1.nii.gz": "its name matches T1 or T1ce"}


@pytest.mark.parametrize(
    ("names", "match"),
    [
        (
            ("head.nii.gz", "x.txt"),
            r"it holds x\.txt, head\.nii\.gz\. File names must contain the sequence, as in case_t1\.nii",
        ),
        (("1.dcm", "2.dcm"), "See brats-mm inspect"),
        (("t1_seg.nii.gz",), "it holds t1_seg"),
    ],
)
def test_rejects_folder_without_sequences(tmp_path, names, match):
    """The message describes the content and the names that would be recognised."""
    with pytest.raises(CaseError, match=f"No sequence was recognised .*{match}"):
        find_case(folder_of(tmp_path, *names))


def test_rejects_empty_folder(tmp_path):
    with pytest.raises(CaseError, match=r"No sequence was recognised .*: it is empty\."):
        find_case(tmp_path)


def test_rejects_folder_of_cases(tmp_path):
    """A frequent mistake has its own message."""
    for case in ("p1", "p2"):
        folder_of(tmp_path, f"{case}_t1.nii.gz", f"{case}_t2.nii.gz", case=case)

    with pytest.raises(CaseError, match=r"holds 2 cases \(p1, p2\)"):
        find_case(tmp_path)


@pytest.mark.parametrize(
    ("name", "match"), [("none", "does not exist"), ("file", "is a file"), ("x" * 300, "cannot|does not")]
)
def test_rejects_path_that_is_no_folder(tmp_path, name, match):
    """The message asks for a folder, or for files by option."""
    (tmp_path / "file").touch()

    with pytest.raises(CaseError, match=rf"{match}.*Provide the folder of one case.*--t1ce FILE"):
        find_case(tmp_path / name)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("B_007_t1.nii.gz", "B_007_flair.nii.gz"), "B_007"),
        (("B-007-t1.nii.gz",), "B-007"),
        (("t1.nii.gz", "flair.nii.gz"), "visit"),
        (("t1.nii.gz",), "visit"),
        (("scan.nii.gz",), "scan"),
        (("Müller_t1.nii.gz", "Müller_flair.nii.gz"), "Müller"),
        (("Müller_t1.nii.gz", "Müller_flair.nii.gz"), "Müller"),
        (("Großmann-T1.nii.gz", "Großmann-FLAIR.nii.gz"), "Großmann"),
        (("İpek_t1.nii.gz",), "İpek"),
        (("患者_1_T1.nii.gz", "患者_1_FLAIR.nii.gz"), "患者_1"),
        (("T1造影.nii.gz",), "visit"),
    ],
)
def test_case_name_of_files_given_by_option(tmp_path, names, expected):
    """The name is the common part of the file names, or else the folder's name."""
    paths = {(T1, FLAIR)[n]: tmp_path / "visit" / name for n, name in enumerate(names)}

    assert build_explicit_case(paths).name == expected
    assert build_explicit_case(paths, "mine").name == "mine"
    assert build_explicit_case(paths).paths == {modality: str(path) for modality, path in paths.items()}


def test_loop_of_links_is_left_to_the_reader(tmp_path):
    """`Path.resolve` fails with a RuntimeError before Python 3.13."""
    (tmp_path / "t1.nii.gz").symlink_to(tmp_path / "t1.nii.gz")
    case = build_explicit_case({T1: tmp_path / "t1.nii.gz"})
    with pytest.raises(VolumeError, match=r"t1\.nii\.gz"):
        read_case(case)


def test_rejects_same_file_for_two_sequences(tmp_path):
    """Also with two spellings of its path."""
    with pytest.raises(CaseError, match=r"a\.nii was given as T1 and as T2"):
        build_explicit_case({T1: tmp_path / "a.nii", T2: tmp_path / "x" / ".." / "a.nii"})


def test_rejects_no_files():
    """At least one is needed."""
    with pytest.raises(CaseError, match="No sequence was given"):
        build_explicit_case({})


@pytest.mark.parametrize(
    ("names", "match"),
    [
        (("T1_pre_post.nii.gz", "flair.nii.gz"), r"T1_pre_post\.nii\.gz \(T1 or T1ce\)"),
        (("T1_post.nii.gz", "FLAIR_post.nii.gz"), r"T1_post\.nii\.gz \(T1 or T1ce\)"),
        (("T1_real.nii.gz", "flair.nii.gz"), r"T1_real\.nii\.gz \(T1 or a real part\)"),
        (("FLAIR_lesion.nii.gz", "t1.nii.gz"), r"FLAIR_lesion\.nii\.gz \(FLAIR or a lesion map\)"),
    ],
)
def test_ambiguous_name_needs_a_choice(tmp_path, names, match):
    """The message names the candidates and the options."""
    with pytest.raises(CaseError, match=rf"are ambiguous: {match}.*--t1, --t1ce, --t2, --flair"):
        find_case(folder_of(tmp_path, *names))


def test_ambiguous_name_is_ignored_next_to_clear_name(tmp_path):
    """The magnitude is the image, and phase, real and imaginary part are ignored with a reason."""
    case = find_case(folder_of(tmp_path, "T1.nii.gz", "T1_real.nii.gz", "T1_imaginary.nii.gz", "T1_phase.nii.gz"))

    other = "its name marks another kind of image or a result (part of a complex image: {!r})"
    assert {m: path.rsplit("/", 1)[-1] for m, path in case.paths.items()} == {T1: "T1.nii.gz"}
    assert case.ignored == {
        "T1_imaginary.nii.gz": other.format("imaginary"),
        "T1_phase.nii.gz": other.format("phase"),
        "T1_real.nii.gz": "its name matches T1 or a real part",
    }


def test_reason_names_kind_of_ignored_images(tmp_path):
    """A phase image alone is not a T1, and the message says why."""
    with pytest.raises(CaseError, match=r"T1_phase\.nii\.gz cannot be used: its name marks .*complex image: 'phase'"):
        find_case(folder_of(tmp_path, "T1_phase.nii.gz"))


def test_prefers_original_to_annotated_copy(tmp_path):
    """The reason names the original."""
    case = find_case(folder_of(tmp_path, "T1.nii.gz", "T1_annotated.nii.gz", "FLAIR_MPR.nii.gz"))

    assert {m: path.rsplit("/", 1)[-1] for m, path in case.paths.items()} == {
        T1: "T1.nii.gz",
        FLAIR: "FLAIR_MPR.nii.gz",
    }
    assert case.ignored == {"T1_annotated.nii.gz": "its name marks a copy ('annotated') of T1.nii.gz"}
    assert case.notes == ("FLAIR: the only file is marked as a copy ('mpr')",)


def test_results_beside_images_are_ignored(tmp_path):
    """A run may write into the folder of its input. The next run finds the same sequences."""
    images = ("c_t1.nii.gz", "c_flair.nii.gz")
    results = ("segmentation.nii.gz", "segmentation.seg.nrrd", "entropy.nii.gz", "entropy_wt.nii.gz", "mask_wt.nii.gz")
    for name in (*images, *results, "registered_flair.nii.gz", "report.json"):
        (tmp_path / name).touch()

    files = find_case(tmp_path)

    assert {m.value: path.rpartition("/")[2] for m, path in files.paths.items()} == dict(
        zip(("t1", "flair"), images, strict=True)
    )
    assert files.ignored["registered_flair.nii.gz"] == "it is a result of an earlier run"


def test_registered_image_without_report_is_an_image(tmp_path):
    (tmp_path / "registered_flair.nii.gz").touch()

    assert [m.value for m in find_case(tmp_path).paths] == ["flair"]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("t1.mif", "its format is not supported"),
        ("t1.npy", "its format is not supported"),
        ("t1.nii.gz.part", "its download is incomplete"),
        ("t1.tar.gz", "it is an archive"),
        ("t1.unknown", "it is not a volume file"),
        ("t1", "it is not a volume file"),
    ],
)
def test_reason_is_the_format_where_the_name_is_right(tmp_path, name, reason):
    with pytest.raises(CaseError) as caught:
        find_case(folder_of(tmp_path, name))
    assert f"{name} cannot be used: {reason}" in str(caught.value)
    assert "must contain the sequence" not in str(caught.value)


def test_named_pipe_is_never_opened(tmp_path):
    """Opening a pipe would wait for a writer for ever."""
    os.mkfifo(tmp_path / "t1.nii.gz")
    with pytest.raises(CaseError, match=r"t1\.nii\.gz cannot be used: it is not a regular file"):
        find_case(tmp_path)
    assert not is_unfetched(tmp_path / "t1.nii.gz")
    assert not is_zip(tmp_path / "t1.nii.gz")
    assert not is_dicom(tmp_path / "t1.nii.gz")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_pipe_instead_of_description_is_ignored(tmp_path):
    for number in range(4):
        (tmp_path / f"x_{number:04d}.nii.gz").touch()
    os.mkfifo(tmp_path / "dataset.json")
    assert len(find_case(tmp_path).paths) == 4
