"""Run a comparison on a Ray cluster: one task per expert, then one per run, on a shared file system.

Tasks only carry paths and settings. A task whose machine is lost restarts elsewhere and resumes from its checkpoint.
"""

from collections.abc import Iterator
from typing import Any

from brats_mm.errors import BratsMMError
from brats_mm.execution.ray_cluster import joined
from brats_mm.experiments.comparison.run import Experiment, Outcome, perform, prepare_expert
from brats_mm.experiments.comparison.training import Training

RETRIES = 3
"""Retries of a task whose worker died."""


def perform_on_ray(experiment: Experiment, address: str, *, cores: float = 2, gpus: float = 0) -> Iterator[Outcome]:
    """Run a comparison on a cluster and yield the outcomes in order.

    Args:
        experiment: the comparison. Its folder and cases have the same paths on all machines.
        address: address of the cluster. `local` starts one on this machine, `auto` finds a running one.
        cores: cores per training.
        gpus: GPUs per training.

    Raises:
        OptionError: Ray is not installed, or there is no such cluster.
    """
    with joined(address):
        import ray

        options: dict[str, Any] = {"num_cpus": cores, "num_gpus": gpus, "max_retries": RETRIES}
        failed = _experts(ray, experiment, options)
        task = ray.remote(**options)(perform)
        able = [run for run in experiment.runs if not any(str(expert.folder) in failed for expert in run.experts)]
        under_way = {(run.method, run.seed): task.remote(run, experiment.evaluator) for run in able}
        for run in experiment.runs:
            if (run.method, run.seed) in under_way:
                yield ray.get(under_way[run.method, run.seed])
            else:
                reasons = [failed[str(one.folder)] for one in run.experts if str(one.folder) in failed]
                yield Outcome(run, failure=reasons[0])


def _experts(ray: Any, experiment: Experiment, options: dict[str, Any]) -> dict[str, str]:
    """Train each expert of all runs once. Return the error messages of failed ones by folder."""
    wanted = {str(expert.folder): expert for run in experiment.runs for expert in run.experts}
    task = ray.remote(**options)(_ready)
    under_way = {folder: task.remote(expert) for folder, expert in wanted.items()}
    reasons = {folder: str(ray.get(reference)) for folder, reference in under_way.items()}
    return {folder: reason for folder, reason in reasons.items() if reason}


def _ready(expert: Training) -> str:
    try:
        prepare_expert(expert)
    except BratsMMError as error:
        return str(error)
    return ""
