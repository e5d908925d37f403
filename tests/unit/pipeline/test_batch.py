"""Many cases with overlapped stages: order, failures, number in progress, stopping."""

import pytest

from brats_mm import Segmenter
from brats_mm.errors import Cancelled, CaseError, OutputError
from brats_mm.inference.engine import WindowSettings
from brats_mm.pipeline.batch import Overlap, segment_many
from brats_mm.pipeline.request import OutputOptions, SegmentRequest
from brats_mm.pipeline.segment import load_case, segment

OUTPUTS = OutputOptions(preview=False)


@pytest.fixture(scope="module")
def segmenter(tiny_bundle):
    return Segmenter.from_bundle(tiny_bundle, device="cpu", backend="torch", settings=WindowSettings((64, 64, 64)))


@pytest.fixture(scope="module")
def case(made_head):
    """Read once, because the tests do not depend on the content."""
    return load_case(made_head)


def jobs_of(case, folder, count):
    return [request(case, folder / str(number)) for number in range(count)]


def request(case, folder):
    return SegmentRequest(case, folder, outputs=OUTPUTS)


def test_outcomes_follow_job_order(segmenter, case, tmp_path):
    jobs = jobs_of(case, tmp_path, 4)
    outcomes = list(segment_many(jobs, segmenter, overlap=Overlap(ahead=2, writers=2)))
    assert [outcome.request for outcome in outcomes] == jobs
    assert all(path.is_file() for outcome in outcomes for path in outcome.files)
    assert [set(outcome.report["run"]["seconds"]) for outcome in outcomes] == [
        {"read", "prepare", "network", "restore", "write"}
    ] * 4


def test_files_equal_those_of_single_case(segmenter, made_head, tmp_path):
    (outcome,) = segment_many([request(made_head, tmp_path / "many")], segmenter)
    alone = segment(request(made_head, tmp_path / "one"), segmenter)
    assert [path.name for path in outcome.files] == [path.name for path in alone.files]
    for path in outcome.files:
        if path.suffix != ".json":
            assert path.read_bytes() == (tmp_path / "one" / path.name).read_bytes()


def test_failed_case_does_not_stop_the_others(segmenter, case, tmp_path):
    """Missing files, a folder that is a file, a folder with results, and an internal error, between valid cases."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "report.json").write_text("kept")
    jobs = [
        request(tmp_path / "empty", tmp_path / "a"),
        request(case, tmp_path / "b"),
        request(case, tmp_path / "file"),
        request(case, tmp_path / "full"),
        request(42, tmp_path / "c"),
        request(case, tmp_path / "d"),
    ]
    outcomes = list(segment_many(jobs, segmenter))
    assert [type(outcome.error) for outcome in outcomes[:4]] == [CaseError, type(None), OutputError, OutputError]
    assert outcomes[4].error is not None
    assert outcomes[5].error is None
    assert not (tmp_path / "a").exists()
    assert (tmp_path / "full" / "report.json").read_text() == "kept"


def test_number_of_cases_in_progress_is_limited(segmenter, case, tmp_path):
    """One case is predicted, one is read ahead, and two are being written."""
    taken, most = 0, 0

    def jobs():
        nonlocal taken
        for job in jobs_of(case, tmp_path, 8):
            taken += 1
            yield job

    for done, _ in enumerate(segment_many(jobs(), segmenter)):
        most = max(most, taken - done)
    assert taken == 8
    assert most <= 5


@pytest.mark.parametrize("stop", [KeyboardInterrupt, Cancelled])
def test_stopping_leaves_only_complete_results(segmenter, case, tmp_path, stop):
    """The first case is complete or absent. The interrupted and later cases leave nothing."""
    finished = 0

    def on_window(done, of):
        nonlocal finished
        if finished == 1:
            raise stop
        finished += done == of

    with pytest.raises(stop):
        list(segment_many(jobs_of(case, tmp_path, 5), segmenter, on_window=on_window))
    for folder in tmp_path.iterdir():
        assert sorted(path.name for path in folder.iterdir()) == sorted(OUTPUTS.names(case.available))
    assert not (tmp_path / "1").exists()


def test_caller_may_stop_early(segmenter, case, tmp_path):
    outcomes = segment_many(jobs_of(case, tmp_path, 6), segmenter)
    assert next(outcomes).error is None
    outcomes.close()
    assert not (tmp_path / "5").exists()


def test_no_cases_give_no_outcomes(segmenter):
    assert list(segment_many([], segmenter)) == []
