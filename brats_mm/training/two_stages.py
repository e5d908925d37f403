"""Run both stages of a training run: the experts one after the other, then the mixture, which starts from them."""

import gc
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from brats_mm.domain.modality import MODALITIES, Modality
from brats_mm.errors import (
    BratsMMError,
    OptionError,
    ResourceError,
    TrainingError,
    extract_first_line,
    find_own_error,
    list_causes,
)
from brats_mm.io.bundle import Bundle, list_training_configs
from brats_mm.training.settings import check_overrides

logger = logging.getLogger(__name__)

STAGES = ("all", "experts", "mixture")

T = TypeVar("T")

OnStage = Callable[[str, Mapping[str, Any], Mapping[str, Any]], None]
"""Called before each training run with its name, its resolved settings, and the settings that differ from the defaults.
"""


@dataclass(frozen=True)
class Plan:
    """Training runs to perform.

    Attributes:
        dataset_dir: folder of the cases.
        output_dir: folder for the checkpoints.
        stage: `all`, `experts` or `mixture`.
        modalities: modalities whose experts to train.
        configs: files merged into the bundle's configs in both stages. A name such as `paper` is a config of the
            bundle.
        settings: entries merged last, such as `epochs`.
    """

    dataset_dir: Path
    output_dir: Path
    stage: str = "all"
    modalities: tuple[str, ...] = tuple(modality.value for modality in MODALITIES)
    configs: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)


def train(bundle: Bundle, plan: Plan, *, on_stage: OnStage | None = None, only_check: bool = False) -> None:
    """Train with the configs of a bundle.

    Args:
        bundle: bundle whose configs to use.
        plan: the training runs.
        on_stage: called before each training run.
        only_check: check settings, list and cases without training.

    Raises:
        OptionError: a setting, stage, modality or config is unknown or invalid.
        BratsMMError: a training run failed.
    """
    for name, files, settings in list_trainings(bundle, plan):

        def run(workflow: Any, name: str = name) -> None:
            if on_stage is not None:
                record = workflow.parser.get_parsed_content("record")
                on_stage(name, record.settings, record.document["changed"])
            if not only_check:
                workflow.run()

        run_workflow(files, settings, run)


def run_workflow(files: Sequence[str], settings: Mapping[str, Any], use: Callable[[Any], T]) -> T:
    """Check one training run, apply a function to its MONAI workflow, and release its data at the end.

    Args:
        files: configs to merge.
        settings: entries merged last.
        use: function of the initialised workflow.

    Returns:
        The result of `use`.

    Raises:
        BratsMMError: the checks or `use` failed.
    """
    workflow = None
    try:
        workflow = _load_workflow(files, settings)
        workflow.initialize()
        result = use(workflow)
        workflow.finalize()
    except Exception as error:
        raise _make_plain_error(error) from error
    finally:
        del workflow
        gc.collect()
    return result


def check_plan(bundle: Bundle, plan: Plan) -> None:
    """Check the stage, modalities, configs and settings of a plan before any heavy library is loaded.

    Raises:
        OptionError: one of them is unknown or invalid.
    """
    runs = [name for name, _, _ in list_trainings(bundle, plan)]
    configs = bundle.root / "configs"
    files = [find_config(name, configs) for name in plan.configs]
    check_overrides(plan.settings, configs, files, gated="mixture" in runs)


def list_trainings(bundle: Bundle, plan: Plan) -> Iterator[tuple[str, list[str], dict[str, Any]]]:
    """Yield the name, the configs and the settings of each training run of a plan.

    Args:
        bundle: bundle whose configs to use.
        plan: the training runs.

    Raises:
        OptionError: the stage, a modality or a config is unknown.
    """
    if plan.stage not in STAGES:
        raise OptionError(f"Unknown stage {plan.stage!r}. Choose one of {', '.join(STAGES)}.")
    configs = bundle.root / "configs"
    over = [find_config(name, configs) for name in plan.configs]
    folders = {"dataset_dir": str(plan.dataset_dir), "output_dir": str(plan.output_dir)}
    settings = {**folders, **plan.settings}
    if plan.stage in ("all", "experts"):
        for modality in parse_modalities(plan.modalities):
            files = [str(path) for path in (*list_training_configs(configs, "pretrain_expert"), *over)]
            yield f"expert of {modality.label}", files, {**settings, "modality": modality.value}
    if plan.stage in ("all", "mixture"):
        yield "mixture", [str(path) for path in (*list_training_configs(configs, "train"), *over)], settings


def parse_modalities(modality: str | Sequence[str]) -> tuple[Modality, ...]:
    """Parse `all`, one name or several names into modalities.

    Raises:
        OptionError: a modality is unknown.
    """
    if modality == "all":
        return MODALITIES
    names = (modality,) if isinstance(modality, str) else tuple(modality)
    modality_of_name = {member.value: member for member in MODALITIES}
    unknown = [str(name) for name in names if name not in modality_of_name]
    if unknown:
        raise OptionError(
            f"Unknown modality {', '.join(unknown)}. Use all, or one or more of {', '.join(modality_of_name)}."
        )
    return tuple(modality_of_name[name] for name in names)


def find_config(name: str, configs: Path) -> Path:
    """Return a config file by its path, or by its name in a bundle's `configs` folder.

    Raises:
        OptionError: neither exists.
    """
    candidates = (Path(name), configs / f"{name}.json", configs / "methods" / f"{name}.json")
    existing = next((candidate for candidate in candidates if candidate.is_file()), None)
    if existing is None:
        methods = ", ".join(sorted(path.stem for path in configs.glob("methods/*.json")))
        raise OptionError(f"No config {name} exists. Provide a file, paper, multi_gpu_train, or a method: {methods}.")
    return existing


def _load_workflow(files: Sequence[str], settings: Mapping[str, Any]) -> Any:
    from monai.bundle import ConfigParser, ConfigWorkflow

    config = ConfigParser.load_config_files(list(files))
    entries = {key: value for key, value in settings.items() if key != "modality" or "modality" in config}
    return ConfigWorkflow(list(files), workflow_type="train", logging_file=False, **entries)


def _make_plain_error(error: BaseException) -> BratsMMError:
    """Return the library's error from the chain of causes, or else the first cause in one line."""
    first = list_causes(error)[-1]
    if isinstance(first, MemoryError):
        return ResourceError("The training failed: out of memory. Raise the memory limit, or set smaller windows.")
    message = f"The training failed: {extract_first_line(first)}. Run again with --debug for the traceback."
    return find_own_error(error) or TrainingError(message)
