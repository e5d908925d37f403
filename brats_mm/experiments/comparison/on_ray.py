"""Run a comparison on a Ray cluster: one task per expert, then one per run, on a shared file system.

Tasks only carry paths and settings. A task whose machine is lost restarts elsewhere and resumes from its checkpoint.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from brats_mm.errors import BratsMMError
from brats_mm.execution.ray_engine import RayEngine
from brats_mm.execution.tasks import Engine, Finished, Task, run_tasks
from brats_mm.experiments.comparison.evaluation import RunEvaluator
from brats_mm.experiments.comparison.run import Experiment, ExperimentRun, Outcome, perform, prepare_expert
from brats_mm.experiments.comparison.training import Training

_LOST = "The worker of this training run was lost {attempts} times ({how}). Give each worker more memory and try again."


@dataclass(frozen=True)
class TrainingTask(Task):
    """Training of an expert, or training and evaluation of a run."""

    work: Training | ExperimentRun
    evaluator: RunEvaluator

    @property
    def name(self) -> str:
        """Folder of the training run."""
        training = self.work.training if isinstance(self.work, ExperimentRun) else self.work
        return str(training.folder)


@dataclass(frozen=True)
class TrainingResult:
    """Result of a training run: the reason if it failed, and the outcome of a run."""

    name: str
    failure: str = ""
    outcome: Outcome | None = None


class Trainer:
    """Perform training runs in a worker, one after another. Each resumes earlier work."""

    def __init__(self, slot: int) -> None:
        """Do nothing, because no model is needed."""

    def run(self, tasks: Iterable[TrainingTask | None]) -> Iterator[TrainingResult]:
        """Yield the result of each task."""
        for task in tasks:
            if task is None:
                return
            yield _perform(task)


def perform_on_ray(
    experiment: Experiment, address: str, *, cores: float | int = 2, gpus: float | int = 0
) -> Iterator[Outcome]:
    """Run a comparison on a cluster and yield the outcomes in order.

    Args:
        experiment: the comparison. Its folder and cases have the same paths on all machines.
        address: address of the cluster. `local` starts one on this machine, `auto` finds a running one.
        cores: cores per training.
        gpus: GPUs per training.

    Raises:
        OptionError: Ray is not installed, or the cluster cannot be joined.
    """
    # Ray starts as many workers as fit, and the others when resources are free.
    workers = max(len(_collect_experts(experiment)), len(experiment.runs))
    with RayEngine[TrainingTask, TrainingResult](Trainer, address, workers, cores=cores, gpus=gpus) as engine:
        yield from perform_runs(engine, experiment)


def perform_runs(engine: Engine[TrainingTask, TrainingResult], experiment: Experiment) -> Iterator[Outcome]:
    """Train each expert of all runs once, then perform the runs, and yield the outcomes in order.

    A run whose expert failed is not performed.

    Args:
        engine: a started engine.
        experiment: the comparison.
    """

    def start(works: Iterable[Training | ExperimentRun]) -> Iterator[Finished[TrainingTask, TrainingResult]]:
        return run_tasks(engine, (TrainingTask(work, experiment.evaluator, alone=True) for work in works))

    failed = {
        finished.task.name: reason
        for finished in start(_collect_experts(experiment))
        if (reason := _describe_failure(finished))
    }
    reasons = [
        [failed[str(expert.folder)] for expert in run.experts if str(expert.folder) in failed]
        for run in experiment.runs
    ]
    plan = list(zip(experiment.runs, reasons, strict=True))
    running = start(run for run, why in plan if not why)
    outcomes: dict[str, Outcome] = {}
    for run, why in plan:
        name = str(run.training.folder)
        while not why and name not in outcomes:
            finished = next(running)
            outcomes[finished.task.name] = _make_outcome(finished)
        yield Outcome(run, failure=why[0]) if why else outcomes[name]


def _perform(task: TrainingTask) -> TrainingResult:
    if isinstance(task.work, ExperimentRun):
        outcome = perform(task.work, task.evaluator)
        return TrainingResult(task.name, outcome.failure, outcome)
    try:
        prepare_expert(task.work)
    except BratsMMError as error:
        return TrainingResult(task.name, str(error))
    return TrainingResult(task.name)


def _make_outcome(finished: Finished[TrainingTask, TrainingResult]) -> Outcome:
    run = finished.task.work
    assert isinstance(run, ExperimentRun)
    outcome = finished.result.outcome if finished.result else None
    return outcome or Outcome(run, failure=_describe_failure(finished))


def _describe_failure(finished: Finished[TrainingTask, TrainingResult]) -> str:
    """Return the reason why a training run failed, or an empty string if it succeeded."""
    if finished.result is None:
        return _LOST.format(attempts=finished.attempts, how=finished.lost)
    return finished.result.failure


def _collect_experts(experiment: Experiment) -> list[Training]:
    """Return each expert of all runs once."""
    return list({expert.folder: expert for run in experiment.runs for expert in run.experts}.values())
