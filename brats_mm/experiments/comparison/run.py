"""Plan and run an experiment: every method with every seed, at one budget and on the same cases.

    OUT/prepared/                  prepared training cases, shared by all training runs, can be deleted afterwards
    OUT/experts/KEY/seed_1/t1/     an expert's training, shared by methods whose experts have the same settings
    OUT/runs/METHOD/seed_1/        a method's training, bundle and evaluation
    OUT/experiment.json, experiment.md, runs.csv, sets.csv

Finished work is kept, so a killed experiment resumes, and methods or seeds can be added later. The result names failed
runs, and the others continue.
"""

import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from brats_mm.data.case_check import check_cases
from brats_mm.domain.modality import MODALITIES
from brats_mm.errors import BratsMMError, OptionError
from brats_mm.experiments.comparison.evaluation import EVALUATION, RunEvaluator, evaluate_run
from brats_mm.experiments.comparison.methods import Method, Settings
from brats_mm.experiments.comparison.tables import FRESH, TRAINED_HERE
from brats_mm.experiments.comparison.training import (
    PREPARED,
    Budget,
    Train,
    Training,
    ensure_trained,
    make_data_settings,
    make_run_settings,
    merge_configs,
    merge_settings,
    train_here,
)
from brats_mm.io.bundle import Bundle
from brats_mm.io.labelled_cases import LabelledCase, list_labelled_cases
from brats_mm.training.parsing import parse_path

logger = logging.getLogger(__name__)

Say = Callable[[str], None]


@dataclass(frozen=True)
class Data:
    """Training and evaluation cases of an experiment.

    Attributes:
        folder: folder that the paths of the list are relative to.
        datalist: list of cases with a section `training`.
        section: section of the evaluation cases.
    """

    folder: Path
    datalist: Path
    section: str = "validation"


@dataclass(frozen=True)
class ExperimentRun:
    """One method with one seed.

    Attributes:
        method: name of the method.
        seed: random seed.
        training: training of the method itself.
        experts: training runs that must finish first. Other runs can share them.
        title, description: title and description of the method for the tables.
        starts_from: description of the initial weights, for the tables.
    """

    method: str
    seed: int
    training: Training
    experts: tuple[Training, ...] = ()
    title: str = ""
    description: str = ""
    starts_from: str = FRESH


@dataclass(frozen=True)
class Outcome:
    """Result of a run: scores for the tables, or the reason for its failure."""

    run: ExperimentRun
    result: dict[str, Any] = field(default_factory=dict)
    evaluation: Path | None = None
    failure: str = ""


@dataclass(frozen=True)
class Experiment:
    """A planned experiment.

    Attributes:
        runs: runs ordered by method, then seed.
        evaluator: evaluation settings of each run.
        budget: budget of each run.
        data: cases of all runs.
    """

    runs: tuple[ExperimentRun, ...]
    evaluator: RunEvaluator
    budget: Budget
    data: Data


def plan(
    methods: Sequence[Method],
    data: Data,
    folder: Path,
    template: Bundle,
    *,
    seeds: Sequence[int],
    budget: Budget,
    device: str = "auto",
    experts: Path | None = None,
) -> Experiment:
    """Plan an experiment, and check all inputs before training.

    Args:
        methods: methods from `comparison.methods.read_methods`.
        data: training and evaluation cases.
        folder: output folder.
        template: bundle with the configs.
        seeds: random seeds of the training runs.
        budget: budget per method and seed.
        device: device to train on.
        experts: folder of experts, or a mixture's checkpoint, that all methods start from unless an experiment file
            gives them an `experts_dir`. The methods then have the whole budget. None trains experts.

    Raises:
        InputError: the cases or the configs are invalid.
    """
    if not methods or not seeds:
        raise OptionError("An experiment needs at least one method and one seed.")
    check_cases(data.folder, data.datalist, sections=("training", data.section))
    cases: tuple[LabelledCase, ...] = list_labelled_cases(data.datalist, dataset_dir=data.folder, section=data.section)
    settings = {
        # Frozen configs are stored outside of the bundle and cannot find it by their own location.
        "bundle_root": str(template.root.resolve()),
        **make_data_settings(data.folder, data.datalist, None if device == "auto" else device),
    }
    if experts is not None and not experts.exists():
        raise OptionError(
            f"There are no experts at {experts}. Provide a folder with expert_t1.pt etc., or a mixture's model.pt."
        )
    runs = tuple(
        _run(method, seed, folder, template, budget, _add_experts_dir(experts, method, settings))
        for method in methods
        for seed in dict.fromkeys(seeds)
    )
    return Experiment(_make_titles_distinct(runs), RunEvaluator(cases, template.root, device), budget, data)


def _make_titles_distinct(runs: Sequence[ExperimentRun]) -> tuple[ExperimentRun, ...]:
    """Add the method's name to titles that several methods share, such as variants of one config."""
    methods = {run.method: run.title for run in runs}
    titles = list(methods.values())
    return tuple(
        replace(run, title=f"{run.title} ({run.method})") if titles.count(run.title) > 1 else run for run in runs
    )


def perform(
    run: ExperimentRun, evaluator: RunEvaluator, *, train: Train = train_here, say: Say = logger.info
) -> Outcome:
    """Train and evaluate one run, resuming earlier work. The outcome records a failure.

    Args:
        run: the run.
        evaluator: evaluates the trained model.
        train: function that trains.
        say: called with a line of progress.
    """
    try:
        for expert in run.experts:
            say(f"{run.method}, seed {run.seed}: {expert.label}")
            prepare_expert(expert, train=train)
        say(f"{run.method}, seed {run.seed}: {run.training.label}")
        spent = ensure_trained(run.training, train)
        say(f"{run.method}, seed {run.seed}: evaluation")
        scores = evaluate_run(run.training.folder, run.training.checkpoint, evaluator)
    except BratsMMError as error:
        return Outcome(run, failure=str(error))
    except Exception as error:
        logger.exception("The run %s with seed %d failed.", run.method, run.seed)
        return Outcome(run, failure=f"{type(error).__name__}: {error}")
    experts = [ensure_trained(expert, train) for expert in run.experts]
    seconds = {"training": spent["seconds"], "experts": sum(expert["seconds"] for expert in experts)}
    result = {**scores, "epochs": spent["epochs"], "seconds": seconds}
    return Outcome(run, result, run.training.folder / EVALUATION)


def perform_all(experiment: Experiment, *, train: Train = train_here, say: Say = logger.info) -> Iterator[Outcome]:
    """Perform the runs one after another on this machine."""
    for run in experiment.runs:
        yield perform(run, experiment.evaluator, train=train, say=say)


def _run(
    method: Method, seed: int, folder: Path, template: Bundle, budget: Budget, settings: Settings
) -> ExperimentRun:
    run_folder = folder / "runs" / method.name / f"seed_{seed}"
    path = template.root / "configs" / "train.json"
    config = merge_configs((path, *method.configs), method.settings, settings)
    needs = str(config.get("experts_dir")) == "@output_dir"
    experts = _plan_experts(method, seed, folder, template, budget, settings) if needs else ()
    starts_from = TRAINED_HERE if experts else _describe_initial_weights(config)
    if experts:
        config["experts_dir"] = str((experts[0].folder.parent / "ready").resolve())
    described = config.get("method", {})
    config["bundle_root"] = str(template.root.resolve())
    spending = budget.make_method_settings(after_experts=needs)
    config = merge_settings(config, make_run_settings(run_folder, seed, spending, folder / PREPARED))
    title, description = str(described.get("name", method.name)), str(described.get("description", ""))
    return ExperimentRun(
        method.name, seed, Training(run_folder, config, "training"), experts, title, description, starts_from
    )


def _describe_initial_weights(config: Settings) -> str:
    """Describe given experts by file name only, because folder names can contain personal data."""
    experts_path = parse_path(config.get("experts_dir"))
    return FRESH if experts_path is None else f"given experts ({experts_path.name})"


def _add_experts_dir(experts: Path | None, method: Method, settings: Settings) -> Settings:
    if experts is None or "experts_dir" in method.entry_names:
        return settings
    return {**settings, "experts_dir": str(experts.resolve())}


def _plan_experts(
    method: Method, seed: int, folder: Path, template: Bundle, budget: Budget, plan_settings: Settings
) -> tuple[Training, ...]:
    configs = template.root / "configs"
    config = merge_configs(
        (configs / "train.json", configs / "pretrain_expert.json"), method.expert_settings, plan_settings
    )
    key = hashlib.sha256(json.dumps([config, budget.make_expert_settings()], sort_keys=True).encode()).hexdigest()[:8]
    trainings = []
    for modality in MODALITIES:
        run_folder = folder / "experts" / key / f"seed_{seed}" / modality.value
        name = {"modality": modality.value, "checkpoint": f"expert_{modality.value}.pt"}
        settings = {
            **name,
            "bundle_root": str(template.root.resolve()),
            **make_run_settings(run_folder, seed, budget.make_expert_settings(), folder / PREPARED),
        }
        trainings.append(
            Training(run_folder, merge_settings(config, settings), f"training the {modality.label} expert")
        )
    return tuple(trainings)


def prepare_expert(expert: Training, *, train: Train = train_here) -> None:
    """Train an expert, resuming earlier work, and copy its last weights to the path that the mixture expects."""
    import torch

    from brats_mm.packaging.create import extract_weights
    from brats_mm.training.checkpoints import atomic_save
    from brats_mm.training.record import copy_record

    ensure_trained(expert, train)
    ready = expert.folder.parent / "ready" / str(expert.config["checkpoint"])
    if not ready.is_file():
        state = torch.load(expert.checkpoint, map_location="cpu", weights_only=True)
        atomic_save(extract_weights(state), ready)
        copy_record(expert.checkpoint, ready)


def move_reference_first(experiment: Experiment, name: str) -> Experiment:
    """Move a method to the front, so that the others are compared with it.

    Raises:
        OptionError: the experiment does not have the method.
    """
    if all(run.method != name for run in experiment.runs):
        methods = ", ".join(dict.fromkeys(run.method for run in experiment.runs))
        raise OptionError(f"There is no method {name} in the experiment. Choose one of {methods}.")
    return replace(experiment, runs=tuple(sorted(experiment.runs, key=lambda run: run.method != name)))
