"""Cases are split by patient, reproducibly by seed, or by a published list."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brats_mm.data.split import choose_validation_folds, choose_validation_share, parse_patient, read_names
from brats_mm.errors import CaseError, OptionError

TWICE = [f"BraTS-GLI-{patient:05d}-{scan:03d}" for patient in range(10) for scan in (0, 1)]


def test_patient_is_identified_by_name() -> None:
    assert parse_patient("BraTS-GLI-00005-100") == "BraTS-GLI-00005"
    assert parse_patient("Brats18_CBICA_AAB_1") == "Brats18_CBICA_AAB_1"


@given(st.floats(0.01, 0.99), st.integers(0, 99))
def test_validation_share_keeps_patients_together(share: float, seed: int) -> None:
    chosen = choose_validation_share(TWICE, share, seed=seed)

    assert chosen == choose_validation_share(TWICE, share, seed=seed)
    assert 0 < len(chosen) < len(TWICE)
    assert len(chosen) == 2 * len({parse_patient(name) for name in chosen})


def test_one_fifth_of_ten_patients_is_two() -> None:
    assert len(choose_validation_share(TWICE, 0.2, seed=0)) == 4


@pytest.mark.parametrize("share", [0.0, 1.0, -1.0, 5.0])
def test_share_must_be_between_0_and_1(share: float) -> None:
    with pytest.raises(OptionError, match="must be between 0 and 1"):
        choose_validation_share(TWICE, share, seed=0)


@pytest.mark.parametrize("folds", [2, 3, 10])
def test_each_case_is_in_one_fold_with_its_patient(folds: int) -> None:
    result = choose_validation_folds(TWICE, folds, seed=0)

    assert sorted(name for fold in result for name in fold) == TWICE
    patients = [{parse_patient(name) for name in fold} for fold in result]
    assert sum(map(len, patients)) == 10


def test_folds_need_enough_patients() -> None:
    with pytest.raises(OptionError, match="at least 2"):
        choose_validation_folds(TWICE, 1, seed=0)
    with pytest.raises(OptionError, match="10 patients, but this split needs at least 11"):
        choose_validation_folds(TWICE, 11, seed=0)


def test_name_file_may_have_paths_prefixes_and_blank_lines(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("Brats18_a\n\nHGG_Brats18_b\ndata/LGG/Brats18_c/\n")

    names = read_names(tmp_path / "train.txt", ["Brats18_a", "Brats18_b", "Brats18_c", "Brats18_d"])

    assert names == ({"Brats18_a", "Brats18_b", "Brats18_c"},)


def test_unknown_names_are_reported(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("a\nx\ny\n")
    with pytest.raises(CaseError, match=r"train\.txt lists 2 cases without a label map in the folder: x, y"):
        read_names(tmp_path / "train.txt", ["a"])
    with pytest.raises(CaseError, match=r"absent\.txt cannot be read"):
        read_names(tmp_path / "absent.txt", ["a"])


@pytest.mark.parametrize(
    "text",
    [
        "Brats18_2013_0_1\nBrats18_TCIA_9_1\n",
        "HG_Brats18_2013_0_1\r\nLG_Brats18_TCIA_9_1\r\n",
        "HGG/Brats18_2013_0_1\nLGG/Brats18_TCIA_9_1",
        "../data/Training/HGG/Brats18_2013_0_1\n../data/Training/LGG/Brats18_TCIA_9_1/\n\n",
        'case,mask\nHGG/Brats18_2013_0_1,"[False, True, True, False]"\nLGG/Brats18_TCIA_9_1,"[True, True, True, True]"\n',
        '\ufeffmask,case\n"[True, False, False, False]",Brats18_2013_0_1\n"[True, True, False, False]",Brats18_TCIA_9_1\n',
        "['./Training/HGG/Brats18_2013_0_1', './Training/LGG/Brats18_TCIA_9_1']\n",
    ],
    ids=["names", "graded", "folders", "paths", "table with masks", "column by name", "brackets"],
)
def test_reads_published_list_formats(tmp_path: Path, text: str) -> None:
    (tmp_path / "train1.txt").write_text(text, encoding="utf-8", newline="")
    known = ["Brats18_2013_0_1", "Brats18_TCIA_9_1", "Brats18_2013_10_1"]

    assert read_names(tmp_path / "train1.txt", known) == (frozenset(known[:2]),)


def test_bracketed_lines_are_parts_of_one_split(tmp_path: Path) -> None:
    (tmp_path / "3folds.txt").write_text("['./Training/HGG/a', './Training/HGG/b']\n['./Training/LGG/c']\n")
    assert read_names(tmp_path / "3folds.txt", ["a", "b", "c"]) == (frozenset("ab"), frozenset("c"))

    (tmp_path / "broken.txt").write_text("['a', 'b'\n")
    with pytest.raises(CaseError, match=r"broken\.txt cannot be read"):
        read_names(tmp_path / "broken.txt", ["a"])
