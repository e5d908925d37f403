"""Cross-validation: train and evaluate each fold, create its bundle, pool the scores and build the ensemble."""

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from brats_mm.data.json_file import read_json
from brats_mm.errors import CaseError, OptionError
from brats_mm.evaluation.case import share_passes
from brats_mm.evaluation.pool import pool
from brats_mm.evaluation.run import EvaluationSettings, evaluate
from brats_mm.evaluation.score_tables import write_score_tables
from brats_mm.evaluation.tables import SUMMARY
from brats_mm.experiments.comparison.training import merge_configs
from brats_mm.io.bundle import Bundle, open_bundle
from brats_mm.io.durable import write_json
from brats_mm.io.labelled_cases import list_labelled_cases
from brats_mm.packaging.create import create_bundle
from brats_mm.packaging.ensemble import create_ensemble
from brats_mm.pipeline.datalists import Division, write_datalists, write_fold_lists
from brats_mm.pipeline.segmenter import Segmenter
from brats_mm.training.record import describe_differences
from brats_mm.training.two_stages import OnStage, Plan, list_trainings, train

LIST = "datalist.json"
RECORD = "cross_validation.json"
"""File with the merged configs of the training runs in a folder."""

POOLED, TABLES, ENSEMBLE = "pooled", "tables", "ensemble"
SCORES = ("dice", "hd95_mm")

FREE = frozenset(
    {"dataset_dir", "output_dir", "device", "num_workers", "cache_rate", "cache_dir", "check_cases"}
    | {"tensorboard_dir", "mlflow", "progress_bar"}
)
"""Settings that may change when a cross-validation continues, because they do not change its results."""

OnStep = Callable[[str], None]
"""Called with a sentence about each finished step."""


@dataclass(frozen=True)
class CrossValidation:
    """Settings of a cross-validation.

    Attributes:
        dataset: folder of the cases.
        output: folder for the results.
        folds: number of folds. Ignored if `datalist` or `split` is given.
        seed: seed of the folds.
        datalist: list whose training entries have the key `fold`. None draws the folds by patient.
        label_scheme: scheme of the label maps. None detects it.
        configs: see `two_stages.Plan`.
        settings: see `two_stages.Plan`.
        device: device of the evaluation.
        split: nnU-Net's `splits_final.json`, whose folds are used. It cannot be combined with `datalist`.
    """

    dataset: Path
    output: Path
    folds: int = 5
    seed: int = 0
    datalist: Path | None = None
    label_scheme: str | None = None
    configs: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    device: str = "auto"
    split: Path | None = None


def cross_validate(
    bundle: Bundle, plan: CrossValidation, *, on_stage: OnStage | None = None, on_step: OnStep = lambda _: None
) -> dict[str, Any]:
    """Train and evaluate the model of each fold, or continue where an earlier call stopped.

    The bundle of a fold holds the last weights of the mixture, because the best weights are selected on the evaluated
    cases.

    Args:
        bundle: bundle whose configs to train.
        plan: settings of the cross-validation.
        on_stage: called before each training run.
        on_step: called after each step.

    Returns:
        The summary of the pooled evaluation.

    Raises:
        BratsMMError: a setting or a case is invalid, the folder holds a cross-validation with other settings, or a
            training run failed.
    """
    scheme = plan.label_scheme or plan.settings.get("label_scheme")
    if scheme is not None:
        plan = replace(plan, label_scheme=scheme, settings={**plan.settings, "label_scheme": scheme})
    check_same_settings(bundle, plan)
    lists = prepare_fold_lists(plan)
    cases = [list_labelled_cases(path, dataset_dir=plan.dataset, scheme=plan.label_scheme) for path in lists]
    _require_folds([[case.files.name for case in labelled] for labelled in cases])
    write_json(_merge_trainings(bundle, plan), plan.output / RECORD, indent=2)
    folders = [plan.output / f"fold{fold}" for fold in range(len(lists))]
    for folder, path, labelled in zip(folders, lists, cases, strict=True):
        packed = folder / "bundle"
        if not (packed / "configs").exists():
            settings = {**plan.settings, "datalist": str(path), "resume": True}
            models = folder / "models"
            train(bundle, Plan(plan.dataset, models, configs=plan.configs, settings=settings), on_stage=on_stage)
            create_bundle([models / "model_last.pt"], packed, bundle, version=folder.name)
            on_step(f"Trained {folder.name}.")
        if not (folder / "evaluation" / SUMMARY).is_file():
            segmenter = Segmenter.from_bundle(packed, device=plan.device, trust_bundle=True)
            evaluate(
                labelled,
                folder / "evaluation",
                share_passes(segmenter.predictor),
                EvaluationSettings(plots=False, resume=True),
                on_case=lambda done, total, name: on_step(f"Evaluated {done} of {total}: {name}."),
            )
    summary = pool([folder / "evaluation" for folder in folders], plan.output / POOLED, overwrite=True)
    write_score_tables([plan.output / POOLED], plan.output / TABLES, SCORES, overwrite=True)
    if not (plan.output / ENSEMBLE / "configs").exists():
        members = [open_bundle(folder / "bundle") for folder in folders]
        create_ensemble(members, plan.output / ENSEMBLE, version="0.1.0", trusted=True)
    return summary


def check_same_settings(bundle: Bundle, plan: CrossValidation) -> None:
    """Compare the configs and settings with those of the cross-validation that the output folder holds.

    Raises:
        OptionError: they differ. The message names both values.
    """
    path = plan.output / RECORD
    if not path.is_file():
        return
    former = read_json(path, OptionError, "Choose another folder.")
    differences: list[str] = []
    for stage, now in _merge_trainings(bundle, plan).items():
        before = former.get(stage, {})
        names = sorted({*before, *now})
        unset = dict.fromkeys(names, "unset")
        found = describe_differences(unset | before, unset | now, names)
        differences += [difference for difference in found if difference not in differences]
    if differences:
        raise OptionError(
            f"{plan.output} holds a cross-validation with other settings: {'; '.join(differences[:MAX_SHOWN])}. "
            "Continue with the earlier settings, or choose another folder."
        )


MAX_SHOWN = 5


def _merge_trainings(bundle: Bundle, plan: CrossValidation) -> dict[str, dict[str, Any]]:
    """Return the values of the merged configs of an expert and of the mixture, by their ids."""
    first = Plan(plan.dataset, plan.output, modalities=("t1",), configs=plan.configs, settings=plan.settings)
    trainings = {}
    for stage, (_, files, settings) in zip(("experts", "mixture"), list_trainings(bundle, first), strict=True):
        config = merge_configs([Path(file) for file in files], settings)
        kept = {name: value for name, value in config.items() if name not in FREE | {"_meta_", "_desc_"}}
        trainings[stage] = dict(_flatten(json.loads(json.dumps(kept)), ""))
    return trainings


def _flatten(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, child in value.items():
            yield from _flatten(child, f"{name}::{key}" if name else key)
    else:
        yield name, "none" if value is None else value


def prepare_fold_lists(plan: CrossValidation) -> Sequence[Path]:
    """Return the lists of the folds, and write them in the first call.

    Raises:
        OptionError: the output folder contains lists of other folds, or both a list and a split are given.
        CaseError: the cases cannot be listed.
    """
    if plan.datalist is not None and plan.split is not None:
        raise OptionError("--datalist and --split both give the folds. Set one of them.")
    existing = sorted(
        plan.output.glob(f"{Path(LIST).stem}_fold*.json"), key=lambda path: int(path.stem.rpartition("fold")[2])
    )
    if existing:
        if plan.datalist is None and plan.split is None and len(existing) != plan.folds:
            raise OptionError(
                f"{plan.output} contains lists for {len(existing)} folds, but {plan.folds} were requested. Continue "
                f"with --folds {len(existing)}, or choose another folder."
            )
        _require_same_folds(existing, plan)
        return existing
    return _write_lists(plan, plan.output / LIST)


def _write_lists(plan: CrossValidation, target: Path) -> Sequence[Path]:
    if plan.datalist is not None:
        return [datalist.path for datalist in write_fold_lists(plan.datalist, target)]
    files = () if plan.split is None else (plan.split,)
    division = Division(folds=0 if files else plan.folds, files=files, seed=plan.seed)
    return [
        datalist.path for datalist in write_datalists(plan.dataset, target, division, label_scheme=plan.label_scheme)
    ]


def _require_same_folds(existing: Sequence[Path], plan: CrossValidation) -> None:
    """Check that the lists of an earlier call are those of this call.

    Raises:
        OptionError: the folds differ.
    """
    contents = [json.loads(path.read_text(encoding="utf-8")) for path in existing]
    schemes = {entry.get("label_scheme") for content in contents for entry in content["validation"]}
    known = replace(plan, label_scheme=plan.label_scheme or (schemes.pop() if len(schemes) == 1 else None))
    with tempfile.TemporaryDirectory() as folder:
        given = _write_lists(known, Path(folder) / LIST)
        expected = [json.loads(path.read_text(encoding="utf-8"))["validation"] for path in given]
    if [content["validation"] for content in contents] != expected:
        source = plan.datalist or plan.split or f"--folds {plan.folds} --seed {plan.seed} gives for {plan.dataset}"
        raise OptionError(
            f"{plan.output} contains lists of other folds than {source}. Choose another folder, or continue with the "
            "options and cases of the first call."
        )


def _require_folds(folds: Sequence[Sequence[str]]) -> None:
    """Check before training that the folds can be pooled.

    Raises:
        CaseError: there are fewer than two folds, or a case is a validation case in two of them.
    """
    if len(folds) < 2:
        raise CaseError("There is only one fold. A cross-validation needs two or more.")
    first: dict[str, int] = {}
    for number, names in enumerate(folds):
        for name in names:
            if first.setdefault(name, number) != number:
                raise CaseError(
                    f"The case {name} is a validation case in folds {first[name]} and {number}. Put each case into one "
                    "validation set."
                )
