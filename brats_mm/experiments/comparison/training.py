"""Perform the training runs of an experiment. Each uses a config frozen in its folder, and can resume.

A frozen config merges the bundle's configs into one file that MONAI's command line accepts, so each run can be
repeated manually. Training runs do not validate, so no choice depends on the evaluation cases. The last weights are
evaluated, after the learning rate has decayed over the whole budget.
"""

import gc
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brats_mm.errors import OptionError, TrainingError
from brats_mm.experiments.comparison.methods import Settings
from brats_mm.io.bundle import compute_sha256
from brats_mm.io.durable import write_json
from brats_mm.io.running_bundle import METADATA
from brats_mm.outputs.folder import convert_output_errors
from brats_mm.training.record import read_record

logger = logging.getLogger(__name__)

CONFIG, MODELS, DONE, LOG = "config.json", "models", "trained.json", "train.log"
PREPARED = "prepared"
"""Folder of an experiment's prepared cases, shared because preparation can take longer than a short training."""

NEVER = 10**6
"""A number of epochs that exceeds any budget."""

Train = Callable[[Path], None]
"""Function that runs or resumes the training of a config file."""


@dataclass(frozen=True)
class Budget:
    """Training budget per method and seed, including the training of its experts.

    Attributes:
        epochs: total epochs, or 0. One epoch of all four experts costs about as much as one epoch of the mixture.
        minutes: total minutes, or 0. A training run ends after the epoch that spends its minutes.
        expert_share: fraction of the four experts together, for methods that start from experts. SimMLM uses 500 of 800
            epochs.
    """

    epochs: int = 0
    minutes: float = 0.0
    expert_share: float = 0.625

    def __post_init__(self) -> None:
        if (self.epochs > 0) == (self.minutes > 0):
            raise OptionError("An experiment needs a budget above 0. Set either --minutes or --epochs.")
        if not 0 < self.expert_share < 1:
            raise OptionError(
                f"The fraction of the budget for the experts is {self.expert_share}. It must be between 0 and 1."
            )

    def make_expert_settings(self) -> Settings:
        """Return the `BudgetSchedule` arguments of one of the four experts."""
        if self.epochs:
            return {"epochs": self._count_expert_epochs()}
        return {"minutes": self.minutes * self.expert_share / 4}

    def make_method_settings(self, *, after_experts: bool) -> Settings:
        """Return the `BudgetSchedule` arguments of a method."""
        if self.epochs:
            return {"epochs": max(1, self.epochs - self._count_expert_epochs()) if after_experts else self.epochs}
        return {"minutes": self.minutes * (1 - self.expert_share) if after_experts else self.minutes}

    def _count_expert_epochs(self) -> int:
        return max(1, round(self.epochs * self.expert_share))


@dataclass(frozen=True)
class Training:
    """One training run.

    Attributes:
        folder: folder for the config, the models and the record of completion.
        config: content of the config file to run.
        label: description for the log.
    """

    folder: Path
    config: Settings
    label: str

    @property
    def checkpoint(self) -> Path:
        """Path of the state after the last epoch."""
        name = str(self.config["checkpoint"])
        return self.folder / MODELS / f"{Path(name).stem}_last.pt"


def make_data_settings(dataset_dir: Path, datalist: Path, device: str | None) -> Settings:
    """Return the settings for data and device that all training runs share."""
    device_setting = {} if device is None else {"device": device}
    return {"dataset_dir": str(dataset_dir.resolve()), "datalist": str(datalist.resolve()), **device_setting}


def make_run_settings(folder: Path, seed: int, budget: Settings, prepared: Path) -> Settings:
    """Return the settings of a training run: seed, budget, resume, shared cases and no validation.

    Args:
        folder: folder of the run.
        seed: random seed.
        budget: training time or epochs.
        prepared: folder for prepared cases, which all runs share.
    """
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


def merge_configs(files: Sequence[Path], *settings: Settings) -> Settings:
    """Merge config files and further entries. Later ones take precedence.

    Raises:
        OptionError: the configs cannot be merged.
    """
    from monai.bundle import ConfigParser

    try:
        return merge_settings(ConfigParser.load_config_files([str(path) for path in files]), *settings)
    except Exception as error:  # MONAI raises many types for a bad config
        names = ", ".join(path.name for path in files)
        raise OptionError(f"Cannot merge the configs {names}: {error}. Correct them.") from error


def merge_settings(config: Settings, *settings: Settings) -> Settings:
    """Return a copy of a config with further entries merged into it. Later ones take precedence."""
    from monai.bundle import ConfigParser
    from monai.bundle.utils import merge_kv

    parser = ConfigParser(deepcopy(config))
    for entries in settings:
        for key, value in entries.items():
            merge_kv(parser, key, value)
    combined: Settings = parser.get()
    return combined


def ensure_trained(training: Training, train: Train) -> dict[str, Any]:
    """Train or resume unless the training is complete, and return its epochs and seconds.

    Raises:
        OptionError: the folder holds a training run with another config.
        TrainingError: the training failed.
    """
    done = training.folder / DONE
    _freeze(training)
    if done.is_file():
        _require_same_list(training)
    else:
        with _log_to(training.folder / LOG):
            train(training.folder / CONFIG)
        _write(done, _read_spent(training))
    spent: dict[str, Any] = json.loads(done.read_text(encoding="utf-8"))
    return spent


def _require_same_list(training: Training) -> None:
    """Check that a finished training used the list of cases as it is now.

    Raises:
        OptionError: the list has changed.
    """
    record = read_record(training.checkpoint)
    former = None if record is None else record["settings"].get("datalist_sha256")
    datalist = Path(str(training.config["datalist"]))
    if former is not None and datalist.is_file() and compute_sha256(datalist) != former:
        raise OptionError(
            f"{training.folder} was trained on another version of {datalist.name}. Restore that list, or choose "
            "another output folder."
        )


@contextmanager
def _log_to(path: Path) -> Iterator[None]:
    """Append the library's log to a file inside the block."""
    library = logging.getLogger("brats_mm")
    level = library.level
    with convert_output_errors(path):
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
    """Run a config like MONAI's command line, but in this process. If the process ends, the training ends too."""
    from monai.bundle import ConfigWorkflow

    bundle = Path(json.loads(config.read_text(encoding="utf-8"))["bundle_root"])
    # The config is outside of its bundle. Without the metadata file, MONAI logs an error.
    metadata = str(bundle / METADATA)
    workflow = ConfigWorkflow(str(config), meta_file=metadata, workflow_type="train", logging_file=False)
    try:
        workflow.initialize()
        workflow.run()
        workflow.finalize()
    finally:
        del workflow
        gc.collect()


def _freeze(training: Training) -> None:
    """Write the config, or check that it equals the existing one."""
    path = training.folder / CONFIG
    config = json.loads(json.dumps(training.config))
    if path.is_file():
        if json.loads(path.read_text(encoding="utf-8")) != config:
            raise OptionError(
                f"{training.folder} holds a training run with other settings. Choose another output folder, or use the "
                "earlier settings."
            )
        return
    with convert_output_errors(training.folder):
        (training.folder / MODELS).mkdir(parents=True, exist_ok=True)
    _write(path, config)


def _read_spent(training: Training) -> dict[str, Any]:
    import torch

    if not training.checkpoint.is_file():
        raise TrainingError(f"The training in {training.folder} wrote no {training.checkpoint.name}. See its {LOG}.")
    state = torch.load(training.checkpoint, map_location="cpu", weights_only=True)["lr_scheduler"]
    return {"epochs": int(state["done"]), "seconds": float(state["seconds"])}


def _write(path: Path, content: Any) -> None:
    with convert_output_errors(path):
        write_json(content, path, indent=2)
