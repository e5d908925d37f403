"""The trainings of an experiment: one config each, frozen in its folder, that a killed run continues from.

Every training is a run of the bundle's own configs, as MONAI's command line would take it, from a single file that
holds them merged; so it can be repeated by hand. No training validates: the cases of the evaluation choose nothing, and
the weights that are judged are the last ones, after a learning rate that has fallen over the whole budget.
"""

import gc
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brats_mm.errors import OptionError, TrainingError
from brats_mm.experiments.comparison.methods import Settings
from brats_mm.outputs.folder import output_errors

logger = logging.getLogger(__name__)

CONFIG, MODELS, DONE, LOG = "config.json", "models", "trained.json", "train.log"
PREPARED = "prepared"
"""Folder of an experiment for its cases: preparing them anew for each training would take longer than a short training."""

NEVER = 10**6
"""More epochs than any budget has."""

Train = Callable[[Path], None]
"""Runs the training of a config file to its end, or goes on with it."""


@dataclass(frozen=True)
class Budget:
    """What each method may spend with each seed, the training of its experts included.

    Attributes:
        epochs: in all, or 0. An epoch of all four experts costs about what one of the mixture does.
        minutes: in all, or 0. A training ends with the epoch in which its minutes are over.
        expert_share: of it that the four experts get together where a method starts from experts; 500 of 800 epochs
            in SimMLM.
    """

    epochs: int = 0
    minutes: float = 0.0
    expert_share: float = 0.625

    def __post_init__(self) -> None:
        if (self.epochs > 0) == (self.minutes > 0):
            message = "An experiment needs a budget: give either --minutes or --epochs, above 0."
            raise OptionError(message)
        if not 0 < self.expert_share < 1:
            message = f"The experts' share of the budget is {self.expert_share}; it must be between 0 and 1."
            raise OptionError(message)

    def for_expert(self) -> Settings:
        """What one of four experts gets, for a `BudgetSchedule`."""
        if self.epochs:
            return {"epochs": self._expert_epochs()}
        return {"minutes": self.minutes * self.expert_share / 4}

    def for_method(self, *, after_experts: bool) -> Settings:
        """What a method gets, for a `BudgetSchedule`."""
        if self.epochs:
            return {"epochs": max(1, self.epochs - self._expert_epochs()) if after_experts else self.epochs}
        return {"minutes": self.minutes * (1 - self.expert_share) if after_experts else self.minutes}

    def _expert_epochs(self) -> int:
        return max(1, round(self.epochs * self.expert_share))


@dataclass(frozen=True)
class Training:
    """One training: its folder, and what it runs.

    Attributes:
        folder: for the config, the models and the note that it is done.
        config: content of the one file that it runs.
        said: in words, for the log.
    """

    folder: Path
    config: Settings
    said: str

    @property
    def checkpoint(self) -> Path:
        """The state after the last epoch."""
        name = str(self.config["checkpoint"])
        return self.folder / MODELS / f"{Path(name).stem}_last.pt"


def data_settings(dataset_dir: Path, datalist: Path, device: str | None) -> Settings:
    """What all trainings of an experiment are told of data and machine."""
    chosen = {} if device is None else {"device": device}
    return {"dataset_dir": str(dataset_dir.resolve()), "datalist": str(datalist.resolve()), **chosen}


def run_settings(folder: Path, seed: int, budget: Settings, prepared: Path) -> Settings:
    """What makes a config a training of an experiment: seed, budget, continuing, shared cases, and no validation."""
    return {
        "output_dir": str((folder / MODELS).resolve()),
        "seed": seed,
        "cache_dir": str(prepared.resolve()),
        "resume": True,
        "epochs": budget.get("epochs", NEVER),
        "val_interval": NEVER,
        "check_cases": False,
        "progress_bar": "no",
        "validate::dataset::cache_rate": 0.0,
        "lr_scheduler": {
            "_target_": "brats_mm.experiments.comparison.budget.BudgetSchedule",
            "optimizer": "@optimizer",
            "kind": "@schedule",
            **budget,
        },
        "+train::handlers": [
            {"_target_": "brats_mm.experiments.comparison.budget.StopWhenSpent", "schedule": "@lr_scheduler"}
        ],
    }


def merged(files: Sequence[Path], *settings: Settings) -> Settings:
    """The entries of config files, later ones over earlier ones, with further entries laid over them.

    Raises:
        OptionError: they cannot be laid over each other.
    """
    from monai.bundle import ConfigParser
    from monai.bundle.utils import merge_kv

    try:
        parser = ConfigParser(ConfigParser.load_config_files([str(path) for path in files]))
        for entries in settings:
            for key, value in entries.items():
                merge_kv(parser, key, value)
    except Exception as error:  # (a config can be wrong in many ways)
        names = ", ".join(path.name for path in files)
        message = f"The configs {names} cannot be laid over each other ({error}). Mend them."
        raise OptionError(message) from error
    found: Settings = parser.get()
    return found


def trained(training: Training, train: Train) -> dict[str, Any]:
    """Train, go on, or do nothing where it is done; returns epochs and seconds.

    Raises:
        OptionError: the folder holds a training of another config.
        TrainingError: it failed.
    """
    done = training.folder / DONE
    _freeze(training)
    if not done.is_file():
        with _log_in(training.folder / LOG):
            train(training.folder / CONFIG)
        _write(done, _spent(training))
    found: dict[str, Any] = json.loads(done.read_text(encoding="utf-8"))
    return found


@contextmanager
def _log_in(path: Path) -> Iterator[None]:
    """What the trainer says inside the block is added to a file."""
    library = logging.getLogger("brats_mm")
    level = library.level
    with output_errors(path):
        handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    library.addHandler(handler)
    library.setLevel(min(level or logging.INFO, logging.INFO))
    try:
        yield
    finally:
        library.setLevel(level)
        library.removeHandler(handler)
        handler.close()


def train_here(config: Path) -> None:
    """Run a config as MONAI's command line does, in this process, so that whatever ends it ends the training too."""
    from monai.bundle import ConfigWorkflow

    workflow = ConfigWorkflow(str(config), workflow_type="train", logging_file=False)
    try:
        workflow.initialize()
        workflow.run()
        workflow.finalize()
    finally:
        del workflow
        gc.collect()


def _freeze(training: Training) -> None:
    """Write the config, or make sure that it is the one that is there."""
    path = training.folder / CONFIG
    wanted = json.loads(json.dumps(training.config))
    if path.is_file():
        if json.loads(path.read_text(encoding="utf-8")) != wanted:
            message = (
                f"{training.folder} holds a training with other settings. Give the experiment another folder, or the "
                "settings that it had."
            )
            raise OptionError(message)
        return
    with output_errors(training.folder):
        (training.folder / MODELS).mkdir(parents=True, exist_ok=True)
    _write(path, wanted)


def _spent(training: Training) -> dict[str, Any]:
    import torch

    if not training.checkpoint.is_file():
        message = f"The training in {training.folder} left no {training.checkpoint.name}. Look at its {LOG}."
        raise TrainingError(message)
    state = torch.load(training.checkpoint, map_location="cpu", weights_only=True)["lr_scheduler"]
    return {"epochs": int(state["done"]), "seconds": float(state["seconds"])}


def _write(path: Path, content: Any) -> None:
    """Whole or not at all, so that a note that is there can be believed."""
    part = path.with_suffix(".part")
    with output_errors(path):
        part.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        part.replace(path)
