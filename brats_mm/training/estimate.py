"""Estimate memory and duration of training from one measured step and one validated case."""

import math
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import cycle, islice
from typing import Any

from ignite.engine import Events

from brats_mm.data.datalist import Item, load_training_items
from brats_mm.data.fingerprint import compute_fingerprint
from brats_mm.io.bundle import Bundle
from brats_mm.training.peak_memory import describe_device, measure_peak_bytes, reset_peak
from brats_mm.training.two_stages import OnStage, Plan, list_trainings, run_workflow

STEPS = 2
"""Steps to run. The first one warms up and is not measured."""

UNMEASURED = {
    "experts_dir": "none",
    "initial_weights": None,
    "new_experts_dir": None,
    "resume": False,
    "check_cases": False,
    "cache_rate": 1.0,
    "cache_dir": None,
    "tensorboard_dir": None,
    "mlflow": None,
    "progress_bar": False,
    "epochs": 1,
    "steps_per_epoch": None,
    "val_interval": 1,
    "warmup_epochs": 0,
    "num_workers": 0,
}
"""Settings of the measured run that differ from the training. They do not change the work per step."""


@dataclass(frozen=True)
class Measurement:
    """Measured times and memory of a training run.

    Attributes:
        prepare_s: seconds to prepare one case before the first epoch.
        draw_s: seconds to draw the windows of one batch in this process.
        step_s: seconds of one step, without its data.
        validation_s: seconds to validate one case.
        peak_bytes: peak memory of the steps. None if the system does not report it.
        validation_peak_bytes: peak memory of the validation.
    """

    prepare_s: float
    draw_s: float
    step_s: float
    validation_s: float
    peak_bytes: int | None
    validation_peak_bytes: int | None


@dataclass(frozen=True)
class Amount:
    """Amount of work of a training run.

    Attributes:
        training_cases, validation_cases: number of cases.
        batch_size, epochs, val_interval, num_workers, steps: settings of the training. Without `steps`, an epoch
            draws every case once.
    """

    training_cases: int
    validation_cases: int
    batch_size: int
    epochs: int
    val_interval: int
    num_workers: int
    steps: int | None = None

    @property
    def steps_per_epoch(self) -> int:
        """Number of steps of an epoch."""
        return self.steps or math.ceil(self.training_cases / self.batch_size)


def compute_hours(amount: Amount, measured: Measurement) -> float:
    """Return the duration of a training run in hours.

    Cases are prepared once. Workers draw windows while the network computes. Early stopping is not considered.

    Args:
        amount: amount of work of the training run.
        measured: measured times.
    """
    cases = amount.training_cases + amount.validation_cases
    step_s = (
        max(measured.step_s, measured.draw_s / amount.num_workers)
        if amount.num_workers
        else measured.step_s + measured.draw_s
    )
    validations = amount.epochs // amount.val_interval
    seconds = (
        cases * measured.prepare_s
        + amount.epochs * amount.steps_per_epoch * step_s
        + validations * amount.validation_cases * measured.validation_s
    )
    return seconds / 3600


def estimate(
    bundle: Bundle,
    plan: Plan,
    *,
    on_stage: OnStage | None = None,
    on_case: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Check a plan, measure its data set, and run two steps and one validation of each training run.

    The experts of stage 1 have the same network and window, so only the first one is measured. Nothing is written to
    the plan's output folder.

    Args:
        bundle: bundle whose configs to use.
        plan: the training runs.
        on_stage: called before each training run, as in `two_stages.train`.
        on_case: called after each case of the fingerprint.

    Returns:
        Plain values for JSON: `device`, `data` (see `data.fingerprint.summarise`), `trainings` by name, and `hours`.

    Raises:
        BratsMMError: the plan is invalid, or a step failed, for example because memory ran out.
    """
    document: dict[str, Any] = {"device": {}, "data": {}, "trainings": {}, "hours": 0.0}
    measured: dict[str, Measurement] = {}
    for name, files, settings in list_trainings(bundle, plan):
        checked = run_workflow(files, settings, _read_plan)
        values = checked.settings
        if on_stage is not None:
            on_stage(name, values, checked.changed)
        if not document["data"]:
            document["device"] = describe_device(checked.device)
            document["data"] = _compute_fingerprint(values, on_case)
        stage = values["stage"]
        if stage not in measured:
            measured[stage] = _measure(files, settings, checked)
        amount = Amount(
            len(checked.training),
            len(checked.validation),
            **{key: int(values[key]) for key in ("batch_size", "epochs", "val_interval", "num_workers")},
            steps=values.get("steps_per_epoch"),
        )
        document["trainings"][name] = {
            "window": values["window"],
            **{name: value for name, value in asdict(amount).items() if name != "steps"},
            "steps_per_epoch": amount.steps_per_epoch,
            **asdict(measured[stage]),
            "hours": compute_hours(amount, measured[stage]),
        }
    document["hours"] = sum(training["hours"] for training in document["trainings"].values())
    return document


@dataclass(frozen=True)
class _Checked:
    """Settings and cases of a training run that passed its checks."""

    settings: Mapping[str, Any]
    changed: Mapping[str, Any]
    training: Sequence[Item]
    validation: Sequence[Item]
    device: str


def _read_plan(workflow: Any) -> _Checked:
    parsed = workflow.parser.get_parsed_content
    record = parsed("record")
    data = parsed("train::dataset::data"), parsed("validate::dataset::data")
    return _Checked(record.settings, record.document["changed"], *data, str(parsed("device")))


def _compute_fingerprint(values: Mapping[str, Any], on_case: Callable[[int, int], None] | None) -> dict[str, Any]:
    sections = {
        section: load_training_items(
            values["dataset_dir"], values["datalist"], section, label_scheme=values.get("label_scheme")
        )
        for section in ("training", "validation")
    }
    items = [item for section in sections.values() for item in section]
    counts = {f"{section}_cases": len(listed) for section, listed in sections.items()}
    return {**counts, **compute_fingerprint(items, on_case=on_case)}


def _measure(files: Sequence[str], settings: Mapping[str, Any], checked: _Checked) -> Measurement:
    """Run a short training into a temporary folder."""
    few = list(islice(cycle(checked.training), STEPS * int(checked.settings["batch_size"])))
    with tempfile.TemporaryDirectory() as folder:
        short = {
            **settings,
            **UNMEASURED,
            "output_dir": folder,
            "train::dataset::data": few,
            "validate::dataset::data": list(checked.validation[:1]),
        }
        return run_workflow(files, short, _run_measured)


def _run_measured(workflow: Any) -> Measurement:
    parsed = workflow.parser.get_parsed_content
    begin = time.perf_counter()
    dataset = parsed("train::dataset")
    prepare_s = (time.perf_counter() - begin) / len(dataset)
    clock = _Clock(parsed("device"))
    clock.watch(parsed("train::trainer"), parsed("validate::evaluator"))
    workflow.run()
    draw_s, step_s = clock.draws[-1], clock.steps[-1]
    return Measurement(prepare_s, draw_s, step_s, clock.validation_s, clock.peak, clock.validation_peak)


class _Clock:
    """Measure steps and the validation of a run."""

    def __init__(self, device: Any) -> None:
        self.device = device
        self.begin = 0.0
        self.draws: list[float] = []
        self.steps: list[float] = []
        self.validation_s = 0.0
        self.peak: int | None = None
        self.validation_peak: int | None = None

    def watch(self, trainer: Any, evaluator: Any) -> None:
        trainer.add_event_handler(Events.STARTED, lambda _: reset_peak(self.device))
        trainer.add_event_handler(Events.GET_BATCH_STARTED, self._start)
        trainer.add_event_handler(Events.GET_BATCH_COMPLETED, lambda _: self.draws.append(self._measure_lap()))
        trainer.add_event_handler(Events.ITERATION_COMPLETED, self._end_step)
        evaluator.add_event_handler(Events.STARTED, self._start_validation)
        evaluator.add_event_handler(Events.COMPLETED, self._end_validation)

    def _start(self, _: Any) -> None:
        self.begin = time.perf_counter()

    def _measure_lap(self) -> float:
        now = time.perf_counter()
        seconds, self.begin = now - self.begin, now
        return seconds

    def _end_step(self, _: Any) -> None:
        self.steps.append(self._measure_lap())
        self.peak = measure_peak_bytes(self.device)

    def _start_validation(self, _: Any) -> None:
        reset_peak(self.device)
        self._start(None)

    def _end_validation(self, _: Any) -> None:
        self.validation_s = self._measure_lap()
        self.validation_peak = measure_peak_bytes(self.device)
