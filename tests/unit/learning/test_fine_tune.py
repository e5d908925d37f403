"""A short fine-tuning run of a tiny bundle creates a new version with held-out scores, and can be cancelled."""

import errno
import itertools
import json
import re
import shutil
import time

import pytest
import torch

from brats_mm.data.transforms import LoadSequencesd
from brats_mm.domain.options import ModelOptions
from brats_mm.errors import BundleError, Cancelled, OptionError, OutputError, TrainingError
from brats_mm.io.bundle import Bundle, default_bundle, verify_hash
from brats_mm.learning.corrections import Role
from brats_mm.learning.fine_tune import _train, fine_tune, write_version
from brats_mm.learning.plan import (
    REPLAY,
    FineTuning,
    PlannedCase,
    TrainingPlan,
    check_settings,
    choose_cases,
    read_plan,
    write_plan,
)
from brats_mm.learning.site_bundle import write_site_bundle
from brats_mm.learning.versions import BUNDLE, REPORT
from brats_mm.learning.watched_trainer import Watch
from brats_mm.losses.tumour import level_loss
from tests.fakes.training_sites import planned
from tests.unit.learning.test_corrections import made


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plan")
    cases = (planned(folder, "one", "training", 3), planned(folder, "two", "held_out", 4))
    settings = FineTuning(minutes=0.05, side=64, learning_rate=0.05, batch=1)
    write_plan(TrainingPlan("0.7.0+site.1", "0.7.0", settings, cases), folder)
    return folder


def watch(check=lambda: None, progress=lambda stage, done, total: None):
    return Watch(check, progress, time.perf_counter)


@pytest.mark.slow
def test_result_is_new_bundle_with_scores_of_both_versions(plan, tiny_bundle, tmp_path):
    stages = []
    options = ModelOptions(bundle=tiny_bundle, device="cpu", window=64, overlap=0.0)
    before = (tiny_bundle / "models" / "model.pt").read_bytes()
    report = fine_tune(
        read_plan(plan), plan, options, tmp_path / "attempt-1", watch(progress=lambda *one: stages.append(one))
    )
    bundle = Bundle(tmp_path / "attempt-1" / BUNDLE)
    assert verify_hash(bundle) == report["weights_sha256"] != report["parent_weights_sha256"]
    assert bundle.metadata()["version"] == "0.7.0+site.1"
    assert json.loads((bundle.root / REPORT).read_text())["steps"] == report["steps"] > 0
    assert report["cases"] == {"training": 1, "replay": 0, "held_out": 1}
    assert [row["name"] for row in report["held_out"]["cases"]] == ["two"]
    assert set(report["held_out"]["cases"][0]["version"]) == {"wt", "tc", "et"}
    assert 0 <= report["held_out"]["version"]["dice"] <= 1
    assert list(dict.fromkeys(stage for stage, *_ in stages)) == ["reading", "training", "evaluating"]
    assert (tiny_bundle / "models" / "model.pt").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["attempt-1"]


def test_cancelled_training_leaves_no_bundle(plan, tiny_bundle, tmp_path):
    calls = []

    def check():
        calls.append(1)
        if len(calls) > 3:
            raise Cancelled

    options = ModelOptions(bundle=tiny_bundle, device="cpu", window=64, overlap=0.0)
    with pytest.raises(Cancelled):
        fine_tune(read_plan(plan), plan, options, tmp_path / "attempt-1", watch(check))
    assert not list((tmp_path / "attempt-1").iterdir())
    assert not (tmp_path / "attempt-1-training").exists()


def test_infinite_loss_leaves_no_bundle(plan, tiny_bundle, tmp_path, monkeypatch):
    def infinite(loss, logits, target):
        return level_loss([logits], target) * float("inf")

    monkeypatch.setattr("brats_mm.losses.tumour.TumourLoss.forward", infinite)
    options = ModelOptions(bundle=tiny_bundle, device="cpu", window=64, overlap=0.0)
    with pytest.raises(TrainingError, match=r"The loss is (nan|inf) in step 1, so there is no new version"):
        fine_tune(read_plan(plan), plan, options, tmp_path / "attempt-1", watch())
    assert not list((tmp_path / "attempt-1").iterdir())
    assert not (tmp_path / "attempt-1-training").exists()


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed"),
    ],
)
def test_full_disk_is_an_error_with_a_remedy(plan, tiny_bundle, tmp_path, monkeypatch, error):
    def full(*_, **__):
        raise error

    monkeypatch.setattr("torch.save", full)
    options = ModelOptions(bundle=tiny_bundle, device="cpu", window=64, overlap=0.0)
    with pytest.raises(OutputError, match=r"attempt-1: the disk is full\. Free some space"):
        fine_tune(read_plan(plan), plan, options, tmp_path / "attempt-1", watch())
    assert not (tmp_path / "attempt-1-training").exists()


def test_full_disk_while_weights_are_written_is_an_error_of_the_disk(tiny_bundle, tmp_path):
    parent, folder = Bundle(tiny_bundle), tmp_path / "bundle"
    state = torch.load(parent.weights, weights_only=True)
    (folder / "models").mkdir(parents=True)
    (folder / "models" / "model.pt").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left on device"):
        write_version(parent, folder, state, "1.0+site.1", {})


def test_weights_that_are_not_finite_are_not_written(tiny_bundle, tmp_path):
    parent = Bundle(tiny_bundle)
    state = torch.load(parent.weights, weights_only=True)
    name = next(name for name, value in state.items() if value.is_floating_point())
    state[name] = torch.full_like(state[name], float("nan"))
    with pytest.raises(TrainingError, match=f"1 weights are not finite .first: {re.escape(name)}"):
        write_version(parent, tmp_path / "bundle", state, "1.0+site.1", {})
    assert not (tmp_path / "bundle").exists()


def test_plan_round_trips_through_file(plan, tmp_path):
    shutil.copy(plan / "plan.json", tmp_path)
    assert read_plan(tmp_path) == read_plan(plan)


def test_replayed_cases_give_half_of_the_crops():
    cases = [PlannedCase(str(number), use, {}, "") for number, use in enumerate(["training", REPLAY, REPLAY])]
    plan = TrainingPlan("v", "p", FineTuning(), tuple(cases))
    assert plan.compute_case_weights() == [0.5, 0.25, 0.25]
    assert TrainingPlan("v", "p", FineTuning(), tuple(cases[:1])).compute_case_weights() == [1.0]


def test_rejects_too_few_cases_and_limits_held_out_cases():
    with pytest.raises(OptionError, match="there are 1"):
        choose_cases([made(1)])
    many = [made(number, image=str(number), role=Role.HELD_OUT if number else Role.TRAINING) for number in range(12)]
    assert len(choose_cases(many)) == 9


@pytest.mark.parametrize("settings", [FineTuning(minutes=0), FineTuning(minutes=31), FineTuning(side=72)])
def test_rejects_settings_out_of_range(settings):
    with pytest.raises(OptionError, match="Use"):
        check_settings(settings, 30)


@pytest.mark.slow
def test_only_cross_expert_of_shipped_network_is_trained(plan, tmp_path):
    parent = Bundle(default_bundle())
    site = write_site_bundle(read_plan(plan), plan, parent, tmp_path / "site")
    weights, steps = _train(site, 0.01, tmp_path, torch.device("cpu"), watch())
    before = torch.load(parent.weights, map_location="cpu", weights_only=True)
    changed = {name.partition(".")[0] for name, value in weights.items() if not value.equal(before[name].float())}
    assert (steps > 0, changed) == (True, {"cross"})


def test_each_case_is_read_once(plan, tiny_bundle, tmp_path, monkeypatch):
    names, read = [], LoadSequencesd.__call__

    def counted(transform, data):
        names.append(data["name"])
        return read(transform, data)

    monkeypatch.setattr(LoadSequencesd, "__call__", counted)
    site = write_site_bundle(read_plan(plan), plan, Bundle(tiny_bundle), tmp_path / "site")
    ticks = itertools.count()
    seconds = Watch(lambda: None, lambda *_: None, lambda: float(next(ticks)))
    _, steps = _train(site, 0.1, tmp_path, torch.device("cpu"), seconds)
    assert steps > 1
    assert names == ["one"]


def test_bundle_cannot_omit_time_limit_and_pause(plan, tiny_bundle, tmp_path):
    """Its train.json has no handlers, validates nothing, and keeps the learning rate."""
    changes = {"train::handlers": [], "schedule": "constant"}
    site = write_site_bundle(read_plan(plan), plan, Bundle(tiny_bundle), tmp_path / "site", changes)
    events, seconds = [], [0.0]

    def check():
        events.append("check")
        seconds[0] += 1

    stepwise = Watch(check, lambda stage, done, total: events.append((stage, done)), lambda: seconds[0])
    _, steps = _train(site, 4 / 60, tmp_path, torch.device("cpu"), stepwise)
    assert steps == 4
    assert events == ["check", ("reading", 0), *[one for done in (1, 2, 3, 4) for one in ("check", ("training", done))]]


def test_unknown_code_in_train_json_needs_trust(plan, tiny_bundle, tmp_path):
    bundle = tmp_path / "foreign"
    shutil.copytree(tiny_bundle, bundle)
    (bundle / "configs" / "train.json").write_text(json.dumps({"run": ["$print('anything')"]}))
    options = ModelOptions(bundle=bundle, device="cpu", window=64, overlap=0.0)
    with pytest.raises(BundleError, match=r"print\('anything'\).* in train.json.*--trust-bundle"):
        fine_tune(read_plan(plan), plan, options, tmp_path / "attempt-1", watch())
