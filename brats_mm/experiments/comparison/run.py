"""An experiment: every method with every seed, one budget, the same cases; resumable, and compared at the end.

    OUT/prepared/                  the training cases after preprocessing, for all trainings; may be deleted afterwards
    OUT/experts/KEY/seed_1/t1/     an expert's training; shared by the methods whose experts have the same settings
    OUT/runs/METHOD/seed_1/        a method's training, its bundle, its evaluation
    OUT/experiment.json, experiment.md, runs.csv, sets.csv

Whatever is done is not done again: an experiment that was killed goes on where it was, and further methods or seeds join one
that is finished. A run that fails is named, and the others go on.
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
    data_settings,
    merged,
    run_settings,
    train_here,
    trained,
)
from brats_mm.io.bundle import Bundle
from brats_mm.io.labelled_cases import LabelledCase, labelled_cases
from brats_mm.training.switches import named

logger = logging.getLogger(__name__)

Say = Callable[[str], None]


@dataclass(frozen=True)
class Data:
    """Which cases an experiment trains on, and which it is judged by.

    Attributes:
        folder: where the list's paths start.
        datalist: with a section `training`.
        section: of the cases that the methods are evaluated on.
    """

    folder: Path
    datalist: Path
    section: str = "validation"


@dataclass(frozen=True)
class ExperimentRun:
    """One method with one seed.

    Attributes:
        method: its name.
        seed: its seed.
        training: of the method itself.
        experts: what must be trained before; shared with other runs.
        title, description: of the method, for the tables.
        starts_from: in words, for the tables.
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
    """What came of a run: figures for the tables, or the sentence that says why there are none."""

    run: ExperimentRun
    result: dict[str, Any] = field(default_factory=dict)
    evaluation: Path | None = None
    failure: str = ""


@dataclass(frozen=True)
class Experiment:
    """What is to be run.

    Attributes:
        runs: in the order of methods, then seeds.
        evaluator: of each of them.
        budget: of each of them.
        data: of all.
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
    """Look at everything that an experiment needs, before hours of work.

    Args:
        methods: see `comparison.methods.read_methods`.
        data: of all.
        folder: for everything.
        template: bundle whose configs are taken.
        seeds: of the trainings.
        budget: of each method and seed.
        device: where to train.
        experts: folder of experts, or a mixture's checkpoint, from which all methods start whose own entries in an experiment
            file do not name their `experts_dir`; then the whole budget is theirs. None trains experts.

    Raises:
        InputError: the cases or the configs are at fault.
    """
    if not methods or not seeds:
        message = "An experiment needs at least one method and one seed."
        raise OptionError(message)
    check_cases(data.folder, data.datalist, sections=("training", data.section))
    cases: tuple[LabelledCase, ...] = labelled_cases(data.datalist, dataset_dir=data.folder, section=data.section)
    given = {
        # Frozen configs lie outside of the bundle and cannot find it themselves.
        "bundle_root": str(template.root.resolve()),
        **data_settings(data.folder, data.datalist, None if device == "auto" else device),
    }
    if experts is not None and not experts.exists():
        message = (
            f"There are no experts at {experts}. Give a folder of expert_t1.pt and so on, or a mixture's model.pt."
        )
        raise OptionError(message)
    runs = tuple(
        _run(method, seed, folder, template, budget, _starting_from(experts, method, given))
        for method in methods
        for seed in dict.fromkeys(seeds)
    )
    return Experiment(runs, RunEvaluator(cases, template.root, device), budget, data)


def perform(
    run: ExperimentRun, evaluator: RunEvaluator, *, train: Train = train_here, say: Say = logger.info
) -> Outcome:
    """Train and evaluate one run, as far as that is not done; the outcome records a failure."""
    try:
        for expert in run.experts:
            say(f"{run.method}, seed {run.seed}: {expert.said}")
            make_ready(expert, train=train)
        say(f"{run.method}, seed {run.seed}: {run.training.said}")
        spent = trained(run.training, train)
        say(f"{run.method}, seed {run.seed}: evaluation")
        found = evaluate_run(run.training.folder, run.training.checkpoint, evaluator)
    except BratsMMError as error:
        return Outcome(run, failure=str(error))
    except Exception as error:
        logger.exception("The run %s with seed %d failed.", run.method, run.seed)
        return Outcome(run, failure=f"{type(error).__name__}: {error}")
    experts = [trained(expert, train) for expert in run.experts]
    seconds = {"training": spent["seconds"], "experts": sum(one["seconds"] for one in experts)}
    result = {**found, "epochs": spent["epochs"], "seconds": seconds}
    return Outcome(run, result, run.training.folder / EVALUATION)


def perform_all(experiment: Experiment, *, train: Train = train_here, say: Say = logger.info) -> Iterator[Outcome]:
    """Run after run on this machine."""
    for run in experiment.runs:
        yield perform(run, experiment.evaluator, train=train, say=say)


def _run(method: Method, seed: int, folder: Path, template: Bundle, budget: Budget, given: Settings) -> ExperimentRun:
    place = folder / "runs" / method.name / f"seed_{seed}"
    own = template.root / "configs" / "train.json"
    config = merged((own, *method.configs), method.settings, given)
    needs = str(config.get("experts_dir")) == "@output_dir"
    experts = _experts(method, seed, folder, template, budget, given) if needs else ()
    starts_from = TRAINED_HERE if experts else _given_start(config)
    if experts:
        config["experts_dir"] = str((experts[0].folder.parent / "ready").resolve())
    described = config.get("method", {})
    config["bundle_root"] = str(template.root.resolve())
    spending = budget.for_method(after_experts=needs)
    config = _laid_over(config, run_settings(place, seed, spending, folder / PREPARED))
    title, description = str(described.get("name", method.name)), str(described.get("description", ""))
    return ExperimentRun(
        method.name, seed, Training(place, config, "training"), experts, title, description, starts_from
    )


def _given_start(config: Settings) -> str:
    """What a method starts from that this experiment did not train, by file name: folders may name people."""
    given = named(config.get("experts_dir"))
    return FRESH if given is None else f"given experts ({given.name})"


def _starting_from(experts: Path | None, method: Method, given: Settings) -> Settings:
    if experts is None or "experts_dir" in method.own:
        return given
    return {**given, "experts_dir": str(experts.resolve())}


def _experts(
    method: Method, seed: int, folder: Path, template: Bundle, budget: Budget, given: Settings
) -> tuple[Training, ...]:
    configs = template.root / "configs"
    config = merged((configs / "train.json", configs / "pretrain_expert.json"), method.expert_settings, given)
    key = hashlib.sha256(json.dumps([config, budget.for_expert()], sort_keys=True).encode()).hexdigest()[:8]
    trainings = []
    for modality in MODALITIES:
        place = folder / "experts" / key / f"seed_{seed}" / modality.value
        name = {"modality": modality.value, "checkpoint": f"expert_{modality.value}.pt"}
        settings = {
            **name,
            "bundle_root": str(template.root.resolve()),
            **run_settings(place, seed, budget.for_expert(), folder / PREPARED),
        }
        trainings.append(Training(place, _laid_over(config, settings), f"training the expert of {modality.label}"))
    return tuple(trainings)


def _laid_over(config: Settings, settings: Settings) -> Settings:
    """A merged config with further entries; the config itself stays as it is."""
    from copy import deepcopy

    from monai.bundle import ConfigParser
    from monai.bundle.utils import merge_kv

    parser = ConfigParser(deepcopy(config))
    for key, value in settings.items():
        merge_kv(parser, key, value)
    found: Settings = parser.get()
    return found


def make_ready(expert: Training, *, train: Train = train_here) -> None:
    """Train an expert, as far as that is not done, and put its last weights where the mixture finds them."""
    import torch

    from brats_mm.packaging.pack import weights_in
    from brats_mm.training.checkpoints import save_whole
    from brats_mm.training.record import copy_record

    trained(expert, train)
    ready = expert.folder.parent / "ready" / str(expert.config["checkpoint"])
    if not ready.is_file():
        state = torch.load(expert.checkpoint, map_location="cpu", weights_only=True)
        save_whole(weights_in(state), ready)
        copy_record(expert.checkpoint, ready)


def with_reference_first(experiment: Experiment, name: str) -> Experiment:
    """The same experiment with a method in front, to which the others are compared.

    Raises:
        OptionError: there is no such method.
    """
    if all(run.method != name for run in experiment.runs):
        message = f"There is no method {name} in the experiment; it has {', '.join(dict.fromkeys(r.method for r in experiment.runs))}."
        raise OptionError(message)
    return replace(experiment, runs=tuple(sorted(experiment.runs, key=lambda run: run.method != name)))
