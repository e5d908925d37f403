"""Write a bundle whose `train.json` fine-tunes on the labels of a site, for the service, MONAI's tools and federated
clients.
"""

import json
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from brats_mm.errors import BundleError, CaseError
from brats_mm.io.bundle import Bundle, default_bundle
from brats_mm.io.volume import read_stored
from brats_mm.learning.corrections import Role
from brats_mm.learning.plan import REPLAY, FineTuning, PlannedCase, TrainingPlan, choose_cases
from brats_mm.learning.store import LABELS, CorrectionStore
from brats_mm.outputs.registered import write_image
from brats_mm.pipeline.network import read_inference_config

TRAINED = "fine_tuned"
"""Folder of a site's bundle for the weights written by its `train.json`."""

SITE_CASES = "configs/site_cases.json"
_CROSS = "brats_mm.networks.presets.cross_sequence"

RECIPE: dict[str, Any] = {
    "precision": "bfloat16",
    "weight_decay": 1e-4,
    "transplant_prob": 0.0,
    "loss": {"_target_": "brats_mm.losses.tumour.TumourLoss"},
    "steps::subsets": {"_target_": "brats_mm.data.modality_sampling.RandSubsetd"},
    "steps::keep": {"_target_": "SelectItemsd", "keys": ["image", "label", "available", "name"]},
    "train::prepare_batch": {"_target_": "brats_mm.training.iteration.MixtureBatch"},
}
"""Entries of `train.json` for a few cases: one view of each crop, and the loss that trained the shipped weights."""

CROSS_RECIPE: dict[str, Any] = {
    "optimizer::params": "$@network.cross.parameters()",
    "train::inferer": {"_target_": "brats_mm.training.cross_levels.CrossLevelsInferer"},
}
"""Further entries for mixtures with a cross-sequence expert, which train only that expert."""


def plan_from_corrections(store: CorrectionStore, version: str, parent: str) -> TrainingPlan:
    """Plan a training run on all usable corrections of a store, with files relative to the store's folder.

    Args:
        store: corrections.
        version: name of the new version.
        parent: version to fine-tune.

    Raises:
        OptionError: there are too few corrections.
    """
    cases = []
    for correction in choose_cases(store.all()):
        relative = store.folder(correction).relative_to(store.root).as_posix()
        sequences = {sequence: f"{relative}/{name}" for sequence, name in correction.sequences.items()}
        cases.append(PlannedCase(correction.id, correction.role.value, sequences, f"{relative}/{LABELS}"))
    return TrainingPlan(version, parent, FineTuning(), tuple(cases))


def write_site_bundle(
    plan: TrainingPlan,
    folder: Path,
    parent: Bundle,
    output: Path,
    changes: Mapping[str, Any] | None = None,
    *,
    check: Callable[[], None] = lambda: None,
) -> Bundle:
    """Write a copy of a bundle whose `train.json` starts from its weights and trains on the cases of a plan.

    `fine_tune`, `monai.bundle run` and `MonaiAlgo` train it without options. The learning rate falls to zero over
    `epochs`. In federated training, set `epochs` to the sum over all rounds. Held-out cases are the validation cases.
    Replayed cases are in the list of training cases, and the sampler draws them with `plan.compute_case_weights`. Only
    the cross-sequence expert of the shipped network is trained. Images are not copied, except for formats that
    training cannot read, which are converted.

    Args:
        plan: the cases and settings. `train.json` counts epochs, and ignores the time limit.
        folder: folder of the plan's cases.
        parent: bundle to fine-tune.
        output: folder of the new bundle. It must not exist.
        changes: additional settings of `train.json`, such as `{"epochs": 20}`. `::` separates the names of nested
            entries.
        check: called before each case. An exception from it stops the writing.

    Raises:
        BundleError: `output` already exists.
        CaseError: no case to train on has two sequences, which training a cross-sequence expert needs.
    """
    if output.exists():
        raise BundleError(f"{output} already exists. Choose another folder.")
    inference = read_inference_config(parent)
    is_cross = inference["network_def"].get("_target_") == _CROSS
    training = _weigh_training_cases(plan, is_cross=is_cross)
    shutil.copytree(default_bundle() / "configs", output / "configs")
    shutil.copytree(parent.root, output, dirs_exist_ok=True)
    sections = {"training": [case for case, _ in training], "validation": plan.select_by_use(Role.HELD_OUT.value)}
    cases = {section: _build_items(listed, folder, output, check) for section, listed in sections.items()}
    (output / SITE_CASES).write_text(json.dumps(cases, indent=1) + "\n", encoding="utf-8")
    path = output / "configs" / "train.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    network = _collect_network_entries(inference)
    settings = {
        **{name: value for name, value in network.items() if name == "network_def" or name not in document},
        "spacing_mm": inference.get("spacing_mm", 1.0),
        "dataset_dir": str(folder.resolve()),
        "datalist": f"$os.path.join(@bundle_root, *{SITE_CASES.split('/')})",
        "output_dir": f"$os.path.join(@bundle_root, '{TRAINED}')",
        "experts_dir": "none",
        "initial_weights": "$os.path.join(@bundle_root, 'models', 'model.pt')",
        "window": [plan.settings.side] * 3,
        "batch_size": plan.settings.batch,
        "learning_rate": plan.settings.learning_rate,
        "seed": plan.settings.seed,
        "epochs": 20,
        "val_interval": 1,
        **RECIPE,
        **(CROSS_RECIPE if is_cross else {}),
        **(_build_weighted_sampler([weight for _, weight in training]) if plan.select_by_use(REPLAY) else {}),
        **(changes or {}),
    }
    for name, value in settings.items():
        _set_entry(document, name, value)
    path.write_text(json.dumps(document, indent=4) + "\n", encoding="utf-8")
    return Bundle(output)


def convert_to_nifti(item: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Convert sequences in other formats to NIfTI, which the training reads.

    Args:
        item: case as in `data.datalist`.
        folder: folder for the converted sequences. Created if one is needed.

    Returns:
        The case with the converted files in place of the originals.
    """
    images = dict(item["image"])
    for name, file in images.items():
        if not file.endswith((".nii", ".nii.gz")):
            folder.mkdir(parents=True, exist_ok=True)
            images[name] = str(folder / f"{name}.nii.gz")
            write_image(Path(images[name]), read_stored(Path(file)), name)
    return {**item, "image": images}


def _collect_network_entries(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return `network_def` of a config and the entries that it refers to."""
    entries: dict[str, Any] = {}
    names = ["network_def"]
    while names:
        name = names.pop()
        if name in config and name not in entries:
            entries[name] = config[name]
            names += re.findall(r"[@%](\w+)", json.dumps(config[name]))
    return entries


def _weigh_training_cases(plan: TrainingPlan, *, is_cross: bool) -> list[tuple[PlannedCase, float]]:
    """Return the cases to train on, each with its weight."""
    cases = list(zip(plan.select_by_use(Role.TRAINING.value, REPLAY), plan.compute_case_weights(), strict=True))
    usable = [(case, weight) for case, weight in cases if not is_cross or len(case.sequences) > 1]
    if cases and not usable:
        raise CaseError("Training needs a corrected case with at least two sequences. Correct such a case.")
    return usable


def _build_items(
    cases: Sequence[PlannedCase], folder: Path, output: Path, check: Callable[[], None]
) -> list[dict[str, Any]]:
    items = []
    for case in cases:
        check()
        items.append(convert_to_nifti(case.item(folder.resolve()), output.resolve() / "images" / case.name))
    return items


def _build_weighted_sampler(weights: Sequence[float]) -> dict[str, Any]:
    """Return the sampler that draws cases with relative frequencies, in epochs of the usual length."""
    sampler = {
        "_target_": "torch.utils.data.WeightedRandomSampler",
        "weights": list(weights),
        "num_samples": f"${len(weights)} if @steps_per_epoch is None else @steps_per_epoch * @batch_size",
    }
    return {"train::dataloader::sampler": sampler}


def _set_entry(document: dict[str, Any], name: str, value: Any) -> None:
    """Set a nested entry, whose parents must exist."""
    *parents, last = name.split("::")
    for parent in parents:
        document = document[parent]
    document[last] = value
