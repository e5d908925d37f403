"""A short fine-tuning run of a tiny bundle creates a new version with held-out scores, and can be cancelled."""

import errno
import json
import re
import shutil
import time

import numpy as np
import pytest
import torch

from brats_mm.domain.options import ModelOptions
from brats_mm.errors import Cancelled, CaseError, OptionError, OutputError, TrainingError
from brats_mm.io.bundle import Bundle, verify_hash
from brats_mm.learning.corrections import Role
from brats_mm.learning.fine_tune import Watch, _train, compute_mixture_loss, fine_tune, write_version
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
from brats_mm.learning.versions import BUNDLE, REPORT
from brats_mm.networks.presets import cross_sequence
from brats_mm.training.timed.packing import PackedCase
from tests.fakes.networks import tiny_mixture
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
    def step(network, image, target, available):
        return compute_mixture_loss(network, image, target, available) * float("inf")

    monkeypatch.setattr("brats_mm.learning.fine_tune.compute_mixture_loss", step)
    options = ModelOptions(bundle=tiny_bundle, device="cpu", window=64, overlap=0.0)
    with pytest.raises(TrainingError, match=r"The loss is (nan|inf) in step 1, so there is no new version"):
        fine_tune(read_plan(plan), plan, options, tmp_path / "attempt-1", watch())
    assert not list((tmp_path / "attempt-1").iterdir())
    assert not (tmp_path / "attempt-1-training").exists()


def test_full_disk_is_an_error_with_a_remedy(plan, tiny_bundle, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("brats_mm.learning.fine_tune.pack_cases", full)
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


def test_step_lowers_loss_of_mixture():
    torch.manual_seed(0)
    network = tiny_mixture()
    image, target = torch.randn(2, 4, 64, 64, 64), torch.zeros(2, 3, 64, 64, 64)
    target[:, :, 16:48] = 1.0
    image[:, :, 16:48] += 2.0
    available = torch.tensor([[True, True, True, True], [False, True, False, False]])
    optimizer = torch.optim.SGD(network.parameters(), 0.5)
    losses = []
    for _ in range(10):
        loss = compute_mixture_loss(network, image, target, available)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.8 * losses[0]


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
def test_only_cross_expert_of_shipped_network_is_trained(tmp_path):
    torch.manual_seed(0)
    network = cross_sequence()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    levels = np.full((4, 64, 64, 64), 100, np.uint8)
    labels = np.zeros((64, 64, 64), np.uint8)
    labels[20:40, 20:40, 20:40] = 3
    inside, tumour = (np.flatnonzero(mask).astype(np.int32) for mask in (labels == 0, labels == 3))
    nothing = np.zeros(0, np.int32)
    ones, centres = np.ones(4, np.float32), (inside, nothing, nothing, tumour)
    case = PackedCase("a", levels, ones, ones, np.ones(4, np.bool_), labels, centres)
    single = PackedCase("b", levels, ones, ones, np.array([True, False, False, False]), labels, centres)
    settings = FineTuning(minutes=0.01, side=64, batch=1)
    plan = TrainingPlan("v", "p", settings, ())
    with pytest.raises(CaseError, match="two sequences"):
        _train(network, [(single, 1.0)], plan, tmp_path, watch(), torch.device("cpu"))
    steps = _train(network, [(case, 0.5), (single, 0.5)], plan, tmp_path, watch(), torch.device("cpu"))
    changed = {name.partition(".")[0] for name, value in network.state_dict().items() if not value.equal(before[name])}
    assert (steps > 0, changed) == (True, {"cross"})
