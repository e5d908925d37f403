"""DICOM studies as cases: choice of series, ties, overrides, zips, and inspection."""

import json
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from brats_mm.domain.modality import MODALITIES, Modality
from brats_mm.errors import CaseError, InputError, OptionError
from brats_mm.io.dicom.choice import choose
from brats_mm.io.dicom.scan import scan, select_study
from brats_mm.io.zip import ZipError
from brats_mm.pipeline.dicom_study import SeriesOverrides, choose_series, has_one_grid, read_chosen
from brats_mm.pipeline.inspect import inspect_input
from brats_mm.pipeline.load import is_dicom_folder, open_input
from tests.fakes.dicom_series import TYPICAL, SeriesFacts, make_slices, with_number, write_series

SHAPE = (8, 8, 10)
AFFINE = np.diag([-1.0, -1.0, 5.0, 1.0])


def grey(seed: int = 0, shape: tuple[int, int, int] = SHAPE) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 3000, shape).astype(np.float64)


def full_study(folder: Path) -> Path:
    """Write four sequences on one grid, and a localiser."""
    for seed, (name, facts) in enumerate(TYPICAL.items()):
        write_series(folder / name, grey(seed), AFFINE, facts)
    localiser = SeriesFacts("localizer", number=1, scanning_sequence="GR", echo_ms=4.0, repetition_ms=8.0)
    write_series(folder / "loc", grey(9, (8, 8, 3)), AFFINE, localiser)
    return folder


def test_finds_and_reads_all_four_sequences(tmp_path: Path) -> None:
    chosen = choose_series(full_study(tmp_path))
    scans = read_chosen(chosen)

    assert list(scans.volumes) == list(MODALITIES)
    for seed, name in enumerate(TYPICAL):
        assert np.array_equal(scans.volumes[Modality(name)].data, grey(seed))
    assert has_one_grid(chosen.choice)
    assert scans.warnings == ()
    assert any("localiser" in reason for reason in chosen.files.ignored.values())


def test_tie_is_an_error_that_a_uid_suffix_resolves(tmp_path: Path) -> None:
    full_study(tmp_path)
    again = with_number(TYPICAL["t2"], 8)
    write_series(tmp_path / "again", grey(7), AFFINE, again)

    with pytest.raises(CaseError, match=r"T2 could be series 3 .* or series 8 .*--t2 ") as reported:
        choose_series(tmp_path)
    label = next(one.label for one in select_study(scan(tmp_path)).series if one.identity.series_number == 8)
    assert label in str(reported.value)
    for word in (label, again.series_uid, f"…{label}"):
        chosen = choose_series(tmp_path, SeriesOverrides({Modality.T2: word}))
        assert chosen.choice.chosen[Modality.T2].identity.series_uid == again.series_uid
    without = choose_series(tmp_path, SeriesOverrides({Modality.T2: "none"}))
    assert Modality.T2 not in without.choice.chosen
    assert without.choice.passed_over[label] == "T2 was left out"
    assert without.files.ignored[f"series 8 (…{label})"] == "T2 was left out"


def test_prefers_thin_3d_series_to_thick_series(tmp_path: Path) -> None:
    write_series(tmp_path / "thick", grey(0, (8, 8, 20)), AFFINE, TYPICAL["flair"])
    thin = replace(TYPICAL["flair"], description="Sag 3D FLAIR", number=7)
    write_series(tmp_path / "thin", grey(1, (8, 8, 100)), np.diag([-1.0, -1.0, 1.0, 1.0]), thin)
    choice = choose(select_study(scan(tmp_path)))

    assert choice.chosen[Modality.FLAIR].identity.series_number == 7
    assert "its voxels are thin (3D)" in choice.reasons[Modality.FLAIR]


def test_prefers_complete_series_to_series_with_gap(tmp_path: Path) -> None:
    write_series(tmp_path / "a", grey(), AFFINE, TYPICAL["t2"])[5].unlink()
    write_series(tmp_path / "b", grey(1), AFFINE, with_number(TYPICAL["t2"], 8))
    choice = choose(select_study(scan(tmp_path)))

    assert choice.chosen[Modality.T2].identity.series_number == 8
    assert "it is complete" in choice.reasons[Modality.T2]


def test_gap_in_only_series_is_a_warning(tmp_path: Path) -> None:
    write_series(tmp_path, grey(), AFFINE, TYPICAL["t2"])[5].unlink()

    assert read_chosen(choose_series(tmp_path)).warnings == ("T2: slice 6 of 10 is missing.",)


def test_unmarked_t1_acquired_after_contrast_is_not_used_as_t1(tmp_path: Path) -> None:
    write_series(tmp_path / "post", grey(), AFFINE, TYPICAL["t1ce"])
    write_series(tmp_path / "late", grey(1), AFFINE, with_number(TYPICAL["t1"], 9))
    choice = choose(select_study(scan(tmp_path)))

    assert set(choice.chosen) == {Modality.T1CE}
    assert "was not used as T1" in choice.notes[0]


def test_reformat_is_not_chosen_but_listed(tmp_path: Path) -> None:
    facts = replace(TYPICAL["t1ce"], image_type=("DERIVED", "SECONDARY", "MPR"))
    write_series(tmp_path, grey(), AFFINE, facts)

    with pytest.raises(CaseError, match="No series of the study was recognised"):
        choose_series(tmp_path)
    choice = choose(select_study(scan(tmp_path)))
    assert "Select it with --t1ce" in choice.notes[0]
    named = choose_series(tmp_path, SeriesOverrides({Modality.T1CE: facts.series_uid}))
    assert set(named.choice.chosen) == {Modality.T1CE}


def test_rejects_overrides_that_match_none_or_several_series(tmp_path: Path) -> None:
    full_study(tmp_path)
    uid = TYPICAL["t1"].series_uid

    with pytest.raises(OptionError, match="--t1 matches no series of the study"):
        choose_series(tmp_path, SeriesOverrides({Modality.T1: "nonsense"}))
    with pytest.raises(OptionError, match="was selected as T1 and as T2"):
        choose_series(tmp_path, SeriesOverrides({Modality.T1: uid, Modality.T2: uid}))


def test_rejects_localiser_alone(tmp_path: Path) -> None:
    facts = SeriesFacts("localizer", scanning_sequence="GR", echo_ms=4.0, repetition_ms=8.0)
    write_series(tmp_path, grey(0, (8, 8, 3)), AFFINE, facts)

    with pytest.raises(CaseError, match=r"No series .* recognised.*localiser"):
        choose_series(tmp_path)


def test_rejects_ct(tmp_path: Path) -> None:
    write_series(tmp_path, grey(), AFFINE, SeriesFacts("head", modality="CT"))

    with pytest.raises(CaseError, match="modality is CT, not MR"):
        choose_series(tmp_path)


def test_inspect_reports_different_grids(tmp_path: Path) -> None:
    write_series(tmp_path / "a", grey(), AFFINE, TYPICAL["t2"])
    write_series(tmp_path / "b", grey(1, (8, 8, 9)), np.diag([-1.0, -1.0, 6.0, 1.0]), TYPICAL["flair"])
    inspection = inspect_input(tmp_path)

    assert inspection["studies"][0]["geometry"]["one_grid"] is False
    assert "raw scans" in inspection["studies"][0]["geometry"]["note"]
    assert inspection["problems"] == []


def test_inspect_is_json_without_patient_names(tmp_path: Path) -> None:
    write_series(tmp_path / "a", grey(), AFFINE, replace(TYPICAL["t1"], patient="Musterfrau"))
    write_series(tmp_path / "b", grey(1), AFFINE, replace(TYPICAL["t2"], patient="Musterfrau"))
    message = json.dumps(inspect_input(tmp_path))

    assert "Musterfrau" not in message
    assert "1970" not in message
    assert TYPICAL["t1"].series_uid not in message


def test_inspect_reports_errors_of_segment(tmp_path: Path) -> None:
    write_series(tmp_path / "a", grey(), AFFINE, TYPICAL["t2"])
    write_series(tmp_path / "b", grey(1), AFFINE, with_number(TYPICAL["t2"], 8))
    write_series(tmp_path / "c", grey(2), AFFINE, replace(TYPICAL["t2"], study="another"))
    inspection = inspect_input(tmp_path)

    assert len(inspection["studies"]) == 2
    assert any("--study" in problem for problem in inspection["problems"])
    assert any("T2 could be" in problem for problem in inspection["problems"])


def test_inspect_accepts_volume_files(made_head: Path) -> None:
    inspection = inspect_input(made_head)

    assert inspection["kind"] == "volume files"
    assert list(inspection["files"]) == ["t1", "t1ce", "t2", "flair"]
    assert inspection["geometry"]["one_grid"] is True


def test_zip_of_dicom_files_is_a_study(tmp_path: Path) -> None:
    study = full_study(tmp_path / "study")
    packed = tmp_path / "study.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        for path in sorted(study.rglob("*.dcm")):
            archive.write(path, path.relative_to(tmp_path))
    with open_input(packed) as folder:
        assert is_dicom_folder(folder)
        assert set(choose_series(folder).choice.chosen) == set(MODALITIES)
    assert not folder.exists()


def test_zip_of_volume_files_is_a_case(tmp_path: Path, made_head: Path) -> None:
    packed = tmp_path / "case.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        for path in made_head.iterdir():
            archive.write(path, f"head/{path.name}")

    assert list(inspect_input(packed)["files"]) == ["t1", "t1ce", "t2", "flair"]


def test_rejects_zip_with_path_outside_its_folder(tmp_path: Path) -> None:
    packed = tmp_path / "bad.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("../evil.dcm", b"x")

    with pytest.raises(ZipError, match="paths outside its folder"), open_input(packed):
        pass
    assert not (tmp_path.parent / "evil.dcm").exists()


@pytest.mark.parametrize(("name", "match"), [("missing", "does not exist"), ("a.txt", "not a zip file")])
def test_rejects_path_that_is_no_case(tmp_path: Path, name: str, match: str) -> None:
    (tmp_path / "a.txt").write_text("text")

    with pytest.raises(InputError, match=match), open_input(tmp_path / name):
        pass


def test_prefers_original_to_annotated_copy(tmp_path: Path) -> None:
    """Copies are known by description or Burned In Annotation, and rank last whatever their other properties."""
    for number, (description, extra) in enumerate(
        (("AX T1", {}), ("AX T1 annotated", {}), ("AX T1", {"BurnedInAnnotation": "YES"}))
    ):
        facts = replace(TYPICAL["t1"], description=description, number=number + 1, extra=extra)
        write_series(tmp_path / str(number), grey(number, (8, 8, 10 + 3 * number)), AFFINE, facts)
    inspection = inspect_input(tmp_path)["studies"][0]
    used, *copies = inspection["series"]

    assert used["why"].startswith("the best of 3: it is an original, not an annotated copy")
    assert (
        copies[0]["why"]
        == f"it is an annotated copy (the description contains 'annotated') of series 1 (…{used['series']})"
    )
    assert "marks burned-in annotations" in copies[1]["why"]


def test_ambiguous_sequence_is_not_reported_missing(tmp_path: Path) -> None:
    for number in (4, 8):
        write_series(tmp_path / str(number), grey(number), AFFINE, with_number(TYPICAL["t2"], number))
    inspection = inspect_input(tmp_path)["studies"][0]

    assert list(inspection["ambiguous"]) == ["t2"]
    assert len(inspection["ambiguous"]["t2"]) == 2
    assert inspection["missing"] == ["t1", "t1ce", "flair"]


def test_reports_slices_excluded_from_series(tmp_path: Path) -> None:
    """Nine slices of another type, at other distances, in the series used as T2."""
    write_series(tmp_path / "a", grey(0, (8, 8, 20)), AFFINE, TYPICAL["t2"])
    odd = AFFINE.copy()
    odd[2, 2], odd[2, 3] = 3.7, 200.3
    rest = replace(TYPICAL["t2"], image_type=("ORIGINAL", "PRIMARY", "M", "OTHER"))
    for index, one in enumerate(make_slices(grey(1, (8, 8, 9)), odd, rest)):
        one.SOPInstanceUID = one.file_meta.MediaStorageSOPInstanceUID = f"2.25.{index + 1}"
        one.save_as(tmp_path / f"{index}.dcm", enforce_file_format=True)
    inspection = inspect_input(tmp_path)["studies"][0]

    assert inspection["chosen"].keys() == {"t2"}
    assert any("T2 uses 20 slices" in note and "9 in …" in note for note in inspection["notes"])
