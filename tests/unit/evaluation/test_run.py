"""Evaluation of synthetic cases: written files, known results, and both ways of prediction."""

import csv
import gc
import json
import math
import os
import pickle
import signal
import subprocess
import sys
import tracemalloc
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields, replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from brats_mm.domain.availability import ALL_AVAILABLE, SUBSETS, Availability, format_subset, sort_modalities
from brats_mm.domain.case import Case
from brats_mm.domain.modality import MODALITIES, Modality
from brats_mm.domain.prediction import Importance, ModelIdentity, Prediction, Run
from brats_mm.domain.regions import REGIONS, Region
from brats_mm.domain.subset_calibration import Correction, SubsetCalibration
from brats_mm.domain.trust_profile import DiceOverCases, ExpectedDice
from brats_mm.errors import CaseError, GridError, OptionError, OutputError, VolumeError
from brats_mm.evaluation.case import SetPredictor, evaluate_case, share_passes
from brats_mm.evaluation.checkpoint import EvaluationCheckpoint
from brats_mm.evaluation.run import EvaluationSettings, evaluate
from brats_mm.evaluation.summary import Summary
from brats_mm.evaluation.tables import CaseRow, WeightRow, read_case_rows, read_rows, read_summary, write_parquet_beside
from brats_mm.inference.engine import WindowSettings
from brats_mm.inference.predictor import Predictor
from brats_mm.io.labelled_cases import list_labelled_cases
from brats_mm.metrics.empty import PENALTY_MM, EmptyPolicy
from tests.fakes.networks import tiny_mixture

SIDE = 24
MODEL = ModelIdentity("tiny", "0", "0" * 64, 1)
QUICK = EvaluationSettings(plots=False)
FEW = EvaluationSettings(plots=False, subsets=(*SUBSETS[:2], SUBSETS[-5], SUBSETS[-1]))


def distance(centre: tuple[float, float, float]) -> np.ndarray:
    place = np.stack(np.meshgrid(*[np.arange(SIDE)] * 3, indexing="ij"), axis=-1)
    return np.linalg.norm(place - np.array(centre), axis=-1)


def labels_of(enhancing: int) -> np.ndarray:
    """Return oedema, core and an enhancing ball of about 900 voxels."""
    ball = distance((12, 12, 13))
    labels = np.zeros((SIDE,) * 3, np.uint8)
    labels[ball < 8] = 2
    labels[ball < 7] = 1
    if enhancing:
        labels[ball < 6] = enhancing
    return labels


def write_case(
    root: Path, name: str, *, enhancing: int = 3, sequences: Iterable[Modality] = MODALITIES, label: bool = True
) -> None:
    rng = np.random.default_rng(len(name) + enhancing)
    folder = root / name
    folder.mkdir(parents=True)
    brain = distance((12, 12, 12)) < 11
    affine = np.diag([-1.0, -1.0, 1.0, 1.0])
    for modality in sequences:
        image = np.where(brain, 100 + 20 * rng.random(brain.shape), 0).astype(np.float32)
        nib.save(nib.Nifti1Image(image, affine), folder / f"{name}_{modality.value}.nii.gz")
    if label:
        nib.save(nib.Nifti1Image(labels_of(enhancing), affine), folder / f"{name}_seg.nii.gz")


@pytest.fixture
def cases(tmp_path: Path) -> Path:
    root = tmp_path / "cases"
    write_case(root, "a")
    write_case(root, "b", enhancing=3)
    return root


def knowing(blurred_without: Modality | None = None) -> SetPredictor:
    """Return a predictor that is certain of the truth, without enhancing tumour if the named sequence is missing."""

    def predict(case: Case, subsets: Sequence[Availability]) -> Iterable[Prediction]:
        labels = labels_of(3)
        masks = {Region.WT: labels > 0, Region.TC: (labels == 1) | (labels == 3), Region.ET: labels == 3}
        for subset in subsets:
            blind = blurred_without is not None and blurred_without not in subset
            truth = {region: masks[region].astype(np.float32) for region in REGIONS}
            if blind:
                truth[Region.ET] = np.zeros_like(truth[Region.ET])
            share = {m: dict.fromkeys(REGIONS, 1 / len(subset) if m in subset else 0.0) for m in MODALITIES}
            own = replace(case, volumes={modality: case.volumes[modality] for modality in sort_modalities(subset)})
            yield Prediction(own, truth, Importance(share), MODEL, Run("cpu", "fake", (64, 64, 64), 1, {}))

    return SetPredictor("fake", MODEL, predict)


def tiny_predictor() -> Predictor:
    return Predictor(tiny_mixture().eval(), MODEL, torch.device("cpu"), WindowSettings(window=(64, 64, 64)))


def test_perfect_prediction_scores_one_everywhere(cases, tmp_path):
    evaluation = evaluate(list_labelled_cases(cases), tmp_path / "out", knowing(), QUICK)
    rows = list(read_case_rows(tmp_path / "out"))
    assert len(rows) == 2 * 15 * 3 * 2, "cases, sets, regions, rules"
    assert {(row.dice, row.hd95_mm, row.sensitivity, row.precision, row.lesion_dice) for row in rows} == {
        (1, 0, 1, 1, 1)
    }
    assert {(row.ece, row.sce) for row in rows} == {(0, 0)}
    assert evaluation.summary["counterintuitive"]["raw"]["et"]["rate"] == 0
    wt = evaluation.summary["means"]["raw"]["all_sets"]["wt"]
    assert wt["error_auroc"] is None, "without errors there is no ranking of errors"


def test_means_show_sequence_that_decides_enhancing_tumour(cases, tmp_path):
    evaluation = evaluate(list_labelled_cases(cases, names=["a"]), tmp_path / "out", knowing(Modality.T1CE), QUICK)
    means = evaluation.summary["means"]["raw"]
    assert (means["with_t1ce"]["et"]["dice"], means["without_t1ce"]["et"]["dice"]) == (1, 0)
    assert (means["with_t1ce"]["et"]["sets"], means["without_t1ce"]["et"]["sets"]) == (8, 7)
    assert means["all_sets"]["et"]["dice"] == pytest.approx(8 / 15)
    assert means["without_t1ce"]["et"]["hd95_mm"] == pytest.approx(PENALTY_MM)
    assert means["single_sequences"]["et"]["dice"] == 0.25
    assert means["full_set"]["tc"]["dice"] == 1


def separate_passes(predictor):
    """Return a predictor that runs the network for each subset, on a case with only its sequences."""

    def predict(case, subsets):
        for subset in subsets:
            yield predictor.predict(replace(case, volumes={one: case.volumes[one] for one in subset}))

    return SetPredictor("network runs once per subset", predictor.model, predict)


def test_joint_and_separate_prediction_give_same_scores(cases, tmp_path):
    predictor = tiny_predictor()
    for name, way in (("shared", share_passes), ("separate", separate_passes)):
        evaluate(list_labelled_cases(cases, names=["a"]), tmp_path / name, way(predictor), FEW)
    shared, separate = (list(read_case_rows(tmp_path / name)) for name in ("shared", "separate"))
    assert len(shared) == len(separate) == 4 * 3 * 2
    for one, other in zip(shared, separate, strict=True):
        for name, value in vars(one).items():
            plain = getattr(other, name)
            same = pytest.approx(plain, rel=1e-3, abs=1e-4, nan_ok=True) if isinstance(value, float) else plain
            assert value == same, (one.subset, one.region, name)
    weights = [
        [
            float(row["weight"])
            for row in csv.DictReader((tmp_path / name / "gate_weights.csv").read_text().splitlines())
        ]
        for name in ("shared", "separate")
    ]
    assert weights[0] == pytest.approx(weights[1], abs=1e-5)


def test_summary_records_how_it_was_scored(cases, tmp_path):
    evaluation = evaluate(list_labelled_cases(cases, names=["a"]), tmp_path / "out", knowing(Modality.T1CE))
    assert {path.name for path in (tmp_path / "out").iterdir()} == {path.name for path in evaluation.files}
    assert {"cases.csv", "summary.json", "summary.md", "dice_by_set.png", "reliability.png"} < {
        path.name for path in evaluation.files
    }
    summary = read_summary(tmp_path / "out")
    assert summary["empty_policy"]["name"] == "brats"
    assert {"ece", "sce", "counterintuitive", "et500", "brain_box"} < set(summary["definitions"])
    assert summary["gate_weights"]["t1+t2"]["t1"]["wt"] == 0.5
    page = (tmp_path / "out" / "summary.md").read_text(encoding="utf-8")
    assert page.index("| T2 |") < page.index("| T1ce |") < page.index("| T1, T1ce, T2, FLAIR |")
    assert "published; SimMLM supplement" in page
    assert "63.22 | 78.54 | 87.21" in page


def test_evaluates_model_with_card_and_calibration(cases, tmp_path):
    """The summary contains the calibration, but not the rows of the model card."""
    card = ExpectedDice(10, {ALL_AVAILABLE: {Region.WT: DiceOverCases(0.8, 0.1)}})
    corrections = SubsetCalibration(10, {ALL_AVAILABLE: {Region.WT: Correction(0.5, 2.0, 3.0)}})
    known = knowing()
    model = replace(known.model, expected=card, calibration=corrections)

    evaluation = evaluate(list_labelled_cases(cases, names=["a"]), tmp_path / "out", replace(known, model=model), QUICK)

    reported = read_summary(tmp_path / "out")["model"]
    assert reported == evaluation.summary["model"]
    assert reported["calibration"] == {
        "t1+t1ce+t2+flair": {"wt": {"offset": 0.5, "temperature": 2.0, "foreground_temperature": 3.0}}
    }
    assert "expected" not in reported


def test_missing_scores_are_empty_in_csv_and_null_in_json(tmp_path):
    write_case(tmp_path / "cases", "plain", enhancing=0)
    settings = replace(FEW, policy=EmptyPolicy.SKIP)
    evaluate(list_labelled_cases(tmp_path / "cases"), tmp_path / "out", knowing(), settings)
    et = [row for row in read_case_rows(tmp_path / "out") if row.region == "et"]
    assert all(math.isnan(row.dice) for row in et)
    assert all(row.predicted_voxels > 0 and row.reference_voxels == 0 for row in et)
    json.loads((tmp_path / "out" / "summary.json").read_text(), parse_constant=pytest.fail)
    assert read_summary(tmp_path / "out")["means"]["raw"]["all_sets"]["et"]["dice"] is None


def test_case_is_evaluated_with_available_subsets(tmp_path):
    write_case(tmp_path / "cases", "two", sequences=(Modality.T1CE, Modality.FLAIR))
    evaluate(list_labelled_cases(tmp_path / "cases"), tmp_path / "out", knowing(), QUICK)
    assert {row.subset for row in read_case_rows(tmp_path / "out")} == {"t1ce", "flair", "t1ce+flair"}


def test_unusable_case_is_reported_and_others_continue(cases, tmp_path):
    wrong = nib.Nifti1Image(np.zeros((SIDE, SIDE, SIDE), np.uint8), np.diag([2.0, 2.0, 2.0, 1.0]))
    nib.save(wrong, cases / "a" / "a_seg.nii.gz")
    heard: list[tuple[int, int, str]] = []
    reported = lambda done, every, name: heard.append((done, every, name))  # noqa: E731
    evaluation = evaluate(list_labelled_cases(cases), tmp_path / "out", knowing(), FEW, on_case=reported)
    assert (evaluation.summary["cases"], list(evaluation.summary["failed"])) == (1, ["a"])
    assert "is on a different grid than the images" in (tmp_path / "out" / "summary.md").read_text()
    assert heard == [(1, 2, "a"), (2, 2, "b")]
    (cases / "b" / "b_seg.nii.gz").write_bytes(b"nothing")
    with pytest.raises(CaseError, match="All 2 cases failed"):
        evaluate(list_labelled_cases(cases), tmp_path / "none", knowing(), QUICK)


def test_evaluation_is_replaced_only_with_overwrite(cases, tmp_path):
    evaluate(list_labelled_cases(cases), tmp_path / "out", knowing(), FEW)
    with pytest.raises(OutputError, match="already holds an evaluation"):
        evaluate(list_labelled_cases(cases), tmp_path / "out", knowing(), FEW)
    evaluate(list_labelled_cases(cases), tmp_path / "out", knowing(), replace(FEW, overwrite=True))


def test_cases_come_from_folders_names_or_lists(cases, tmp_path):
    write_case(cases, "unlabelled", label=False)
    assert [case.files.name for case in list_labelled_cases(cases)] == ["a", "b"]
    assert [case.files.name for case in list_labelled_cases(cases, names=["b"])] == ["b"]
    datalist = tmp_path / "list.json"
    datalist.write_text(json.dumps({"training": ["a"], "validation": ["b"]}))
    assert [case.files.name for case in list_labelled_cases(datalist, dataset_dir=cases)] == ["b"]
    with pytest.raises(CaseError, match="has no labelled case unlabelled"):
        list_labelled_cases(cases, names=["unlabelled"])


def test_rejects_folders_without_labels(tmp_path):
    write_case(tmp_path / "cases", "a", label=False)
    with pytest.raises(CaseError, match="has a label map"):
        list_labelled_cases(tmp_path / "cases")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ((0, 3, 4), "the meaning of 3 and 4 depends on the scheme. Select their label scheme"),
        ((0, 1, 2, 4), "4 is enhancing tumour, the resection cavity or oedema, depending on the scheme"),
        ((0, 1), "contain 1, only one label"),
        ((0, 1, 7), "contain 1, 7"),
    ],
)
def test_rejects_unknown_label_values(cases, values, message):
    from brats_mm.io.case import read_case
    from brats_mm.io.reference_labels import read_reference

    labelled = list_labelled_cases(cases)[0]
    grid = read_case(labelled.files).grid
    labels = np.resize(np.array(values, np.uint8), grid.shape)
    nib.save(nib.Nifti1Image(labels, grid.affine), labelled.label)
    with pytest.raises(VolumeError, match=message):
        read_reference(labelled.label, grid)
    nib.save(nib.Nifti1Image(labels, 2 * np.eye(4)), labelled.label)
    with pytest.raises(GridError, match="is on a different grid than the images"):
        read_reference(labelled.label, grid)


def test_every_subset_has_a_row_in_order(cases, tmp_path):
    evaluate(list_labelled_cases(cases, names=["a"]), tmp_path / "out", knowing(), QUICK)
    subsets = list(dict.fromkeys(row.subset for row in read_case_rows(tmp_path / "out")))
    assert subsets == [format_subset(subset) for subset in SUBSETS]
    assert subsets[-1] == format_subset(ALL_AVAILABLE)


def test_summary_memory_does_not_grow_with_cases(cases):
    summary = Summary()
    sizes = []
    for _ in range(3):
        for labelled in list_labelled_cases(cases):
            result = evaluate_case(labelled, knowing(Modality.T1CE), FEW.subsets, FEW.policy)
            summary.add_case(result)
        sizes.append(len(pickle.dumps(summary)))
    assert summary.cases == 6
    assert sizes[2] == pytest.approx(sizes[0], rel=0.01)


def unsure(stop: Callable[[str, Availability], None] = lambda name, subset: None) -> SetPredictor:
    """Return a predictor of the truth with noise that depends only on case and subset. `stop` can raise before each
    prediction.
    """

    def predict(case: Case, subsets: Sequence[Availability]) -> Iterable[Prediction]:
        for prediction in knowing().predict(case, subsets):
            own = prediction.case
            stop(own.name, own.available)
            rng = np.random.default_rng(zlib.crc32(f"{own.name} {format_subset(own.available)}".encode()))
            blurred = {
                region: np.clip(0.8 * truth + 0.3 * rng.random(truth.shape, np.float32), 0, 1)
                for region, truth in prediction.probabilities.items()
            }
            yield replace(prediction, probabilities=blurred)

    return SetPredictor("fake", MODEL, predict)


def interrupted_in(name: str, seen: list[str]) -> Callable[[str, Availability], None]:
    """Raise KeyboardInterrupt after some subsets of the named case."""

    def stop(case: str, subset: Availability) -> None:
        seen.append(case)
        if case == name and seen.count(case) == 3:
            raise KeyboardInterrupt

    return stop


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def three(tmp_path: Path) -> Path:
    root = tmp_path / "three"
    for name in ("one", "three", "zwei"):
        write_case(root, name)
    return root


EVERYTHING = replace(FEW, plots=True, parquet=True)


def test_interrupted_evaluation_resumes_to_same_files(three, tmp_path):
    evaluate(list_labelled_cases(three), tmp_path / "unbroken", unsure(), EVERYTHING)
    with pytest.raises(KeyboardInterrupt):
        evaluate(list_labelled_cases(three), tmp_path / "out", unsure(interrupted_in("three", [])), EVERYTHING)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["unfinished"], "no half result"

    seen: list[str] = []
    reported: list[int] = []
    evaluate(
        list_labelled_cases(three),
        tmp_path / "out",
        unsure(lambda name, subset: seen.append(name)),
        replace(EVERYTHING, resume=True),
        on_case=lambda done, every, name: reported.append(done),
    )
    assert (set(seen), reported) == ({"three", "zwei"}, [2, 3])
    unbroken, resumed = contents(tmp_path / "unbroken"), contents(tmp_path / "out")
    assert set(unbroken) == set(resumed)
    for name, content in unbroken.items():
        assert content == resumed[name], name


def killed_in_the_second_case(cases: str, out: str) -> None:
    """Evaluate in a separate process until SIGKILL, which leaves an incomplete file without cleanup."""

    def stop(name: str, subset: Availability) -> None:
        if name == "three":
            (Path(out) / "unfinished" / "2.new").write_bytes(b"half")
            signal.raise_signal(signal.SIGKILL)

    evaluate(list_labelled_cases(Path(cases)), Path(out), unsure(stop), FEW)


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
@pytest.mark.slow
def test_killed_evaluation_resumes_to_same_files(three, tmp_path):
    run = f"import runpy; runpy.run_path({str(Path(__file__))!r})['killed_in_the_second_case']"
    command = f"{run}({str(three)!r}, {str(tmp_path / 'out')!r})"
    root = Path(__file__).resolve().parents[3]
    assert subprocess.run([sys.executable, "-c", command], cwd=root, check=False).returncode == -signal.SIGKILL
    assert EvaluationCheckpoint(tmp_path / "out").count_finished_cases() == 1
    evaluate(list_labelled_cases(three), tmp_path / "out", unsure(), replace(FEW, resume=True))
    evaluate(list_labelled_cases(three), tmp_path / "unbroken", unsure(), FEW)
    assert contents(tmp_path / "unbroken") == contents(tmp_path / "out")


def test_failed_case_is_still_reported_after_resume(three, tmp_path):
    (three / "one" / "one_seg.nii.gz").write_bytes(b"nothing")
    with pytest.raises(KeyboardInterrupt):
        evaluate(list_labelled_cases(three), tmp_path / "out", unsure(interrupted_in("zwei", [])), FEW)
    evaluation = evaluate(list_labelled_cases(three), tmp_path / "out", unsure(), replace(FEW, resume=True))
    assert (evaluation.summary["cases"], list(evaluation.summary["failed"])) == (2, ["one"])


@pytest.fixture
def stopped(three, tmp_path):
    """A stopped evaluation with one case done."""
    with pytest.raises(KeyboardInterrupt):
        evaluate(list_labelled_cases(three), tmp_path / "out", unsure(interrupted_in("three", [])), FEW)
    return tmp_path / "out"


def test_interrupted_evaluation_needs_resume_or_restart(stopped, three):
    with pytest.raises(OutputError, match=r"interrupted after 1 case\. Continue with --resume"):
        evaluate(list_labelled_cases(three), stopped, unsure(), FEW)
    again = replace(FEW, resume=True)
    with pytest.raises(OptionError, match=r"another empty-region policy \(then brats, now skip\)"):
        evaluate(list_labelled_cases(three), stopped, unsure(), replace(again, policy=EmptyPolicy.SKIP))
    with pytest.raises(OptionError, match=r"another model .*'version': '9'"):
        evaluate(list_labelled_cases(three), stopped, replace(unsure(), model=replace(MODEL, version="9")), again)
    with pytest.raises(OptionError, match="another window settings"):
        evaluate(list_labelled_cases(three), stopped, replace(unsure(), windows={"overlap": 0.25}), again)
    with pytest.raises(OptionError, match="another choice of subsets"):
        evaluate(list_labelled_cases(three), stopped, unsure(), replace(again, subsets=SUBSETS))
    with pytest.raises(OptionError, match="another list of cases"):
        evaluate(list_labelled_cases(three, names=["one", "zwei"]), stopped, unsure(), again)
    assert EvaluationCheckpoint(stopped).count_finished_cases() == 1, "no refusal costs what was done"
    (stopped / "unfinished" / "1.npz").write_bytes(b"torn")
    with pytest.raises(OptionError, match=r"[Rr]estart .*--overwrite"):
        evaluate(list_labelled_cases(three), stopped, unsure(), again)


def test_resume_rejects_edited_case(stopped, three):
    label = three / "one" / "one_seg.nii.gz"
    image = nib.load(label)
    labels = np.zeros(image.shape, np.uint8)
    before = label.stat()
    nib.save(nib.Nifti1Image(labels, image.affine), label)
    with label.open("r+b") as edited:
        edited.truncate(before.st_size)
    os.utime(label, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert label.stat().st_size == before.st_size
    with pytest.raises(OptionError, match="another list of cases"):
        evaluate(list_labelled_cases(three), stopped, unsure(), replace(FEW, resume=True))


def test_restart_drops_interrupted_evaluation(stopped, three):
    seen: list[str] = []
    anew = replace(FEW, overwrite=True)
    evaluate(list_labelled_cases(three), stopped, unsure(lambda name, subset: seen.append(name)), anew)
    assert set(seen) == {"one", "three", "zwei"}
    assert not (stopped / "unfinished").exists()


def test_resume_without_interrupted_evaluation_starts_one(three, tmp_path):
    evaluation = evaluate(list_labelled_cases(three), tmp_path / "out", knowing(), replace(FEW, resume=True))
    assert evaluation.summary["cases"] == 3


def test_evaluation_interrupted_before_first_case_leaves_nothing(three, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        evaluate(list_labelled_cases(three), tmp_path / "new" / "out", unsure(interrupted_in("one", [])), FEW)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(("table", "kind"), [("cases", CaseRow), ("gate_weights", WeightRow)])
def test_parquet_matches_csv_with_types(three, tmp_path, table, kind):
    parquet = pytest.importorskip("pyarrow.parquet")
    settings = replace(FEW, parquet=True, policy=EmptyPolicy.SKIP)
    write_case(three, "plain", enhancing=0)
    evaluate(list_labelled_cases(three), tmp_path / "out", unsure(), settings)
    reliability = parquet.read_table(tmp_path / "out" / f"{table}.parquet")
    rows = list(read_rows(tmp_path / "out" / f"{table}.csv", kind))
    assert reliability.num_rows == len(rows)
    assert reliability.column_names == [column.name for column in fields(kind)]
    for column in fields(kind):
        expected = [getattr(row, column.name) for row in rows]
        assert reliability[column.name].to_pylist() == [
            None if isinstance(value, float) and math.isnan(value) else value for value in expected
        ], column.name
    types = {name: str(reliability.schema.field(name).type).split("<")[0] for name in reliability.column_names}
    assert types["subset"] == types["region"] == "dictionary"
    if kind is CaseRow:
        assert (types["case"], types["dice"], types["lesions_found"]) == ("string", "double", "int64")
        assert reliability["dice"].null_count > 0, "scores that do not exist are null"


def test_parquet_is_written_in_row_groups(cases, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    evaluate(list_labelled_cases(cases), tmp_path / "out", knowing(), FEW)
    path = write_parquet_beside(tmp_path / "out" / "cases.csv", CaseRow, group_rows=20)
    assert parquet.ParquetFile(path).num_row_groups == 3, "48 rows"
    assert parquet.read_table(path)["subset"].to_pylist() == [r.subset for r in read_case_rows(tmp_path / "out")]


def test_parquet_without_pyarrow_is_rejected_at_start(cases, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(OptionError, match="pip install pyarrow"):
        evaluate(list_labelled_cases(cases), tmp_path / "out", knowing(), replace(FEW, parquet=True))
    assert not (tmp_path / "out").exists()


ALONE = "BRATS_MM_MEMORY_ALONE"
"""Set in the process that measures memory."""


@pytest.mark.slow
def test_memory_does_not_grow_with_number_of_cases(tmp_path):
    """After 12 cases an evaluation holds what it held after 3 (the rows of nine would take 100 kB), and its typical
    peak does not rise (a kept prediction per case would double it). Single peaks vary by when garbage is collected.
    """
    if ALONE not in os.environ:  # caches filled by other tests would change the figures
        name = f"{__file__}::test_memory_does_not_grow_with_number_of_cases"
        environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
        command = [sys.executable, "-m", "pytest", "-q", "-m", "", "-p", "no:cacheprovider", name]
        root = Path(__file__).parents[3]
        done = subprocess.run(
            command, check=False, cwd=root, env={**environment, ALONE: "1"}, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout
        return
    root = tmp_path / "cases"
    for number in range(12):
        write_case(root, f"case{number:02}")
    rests, peaks = [], []

    def measure(done: int, every: int, name: str) -> None:
        gc.collect()  # also empties the interpreter's free lists
        rest, peak = tracemalloc.get_traced_memory()
        rests.append(rest)
        peaks.append(peak)
        tracemalloc.reset_peak()

    settings = replace(QUICK, subsets=SUBSETS[-2:])
    thresholds = gc.get_threshold()
    gc.set_threshold(100)  # a late collection would raise the peak of a single case
    tracemalloc.start()
    try:
        evaluate(list_labelled_cases(root), tmp_path / "out", unsure(), settings, on_case=measure)
    finally:
        tracemalloc.stop()
        gc.set_threshold(*thresholds)
    assert rests[-1] - rests[2] < 20_000
    assert np.median(peaks[6:]) < 1.5 * np.median(peaks[:3])
