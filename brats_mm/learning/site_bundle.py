"""Write a bundle whose `train.json` fine-tunes on the labels of a site, for MONAI's tools and federated clients."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from brats_mm.errors import BundleError
from brats_mm.io.bundle import Bundle, default_bundle
from brats_mm.learning.corrections import Role
from brats_mm.learning.fine_tune import as_nifti
from brats_mm.learning.plan import REPLAY, FineTuning, PlannedCase, TrainingPlan, choose_cases
from brats_mm.learning.store import LABELS, CorrectionStore

TRAINED = "fine_tuned"
"""Folder of a site's bundle for the weights written by its `train.json`."""

SITE_CASES = "configs/site_cases.json"
_CROSS = "brats_mm.networks.presets.cross_sequence"


def plan_of_corrections(store: CorrectionStore, version: str, parent: str) -> TrainingPlan:
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
    plan: TrainingPlan, folder: Path, parent: Bundle, output: Path, changes: Mapping[str, Any] | None = None
) -> Bundle:
    """Write a copy of a bundle whose `train.json` starts from its weights and trains on the cases of a plan.

    `monai.bundle run` and `MonaiAlgo` train it without options. The learning rate falls to zero over `epochs`. In
    federated training, set `epochs` to the sum over all rounds. Held-out cases are the validation cases. As in
    `fine_tune`, only the cross-sequence expert of the shipped network is trained. Images are not copied, except for
    formats that training cannot read, which are converted.

    Args:
        plan: the cases. Its time limit is not used, because `train.json` counts epochs.
        folder: folder of the plan's cases.
        parent: bundle to fine-tune.
        output: folder of the new bundle. It must not exist.
        changes: additional settings of `train.json`, such as `{"epochs": 20}`.

    Raises:
        BundleError: `output` already exists.
    """
    if output.exists():
        raise BundleError(f"{output} already exists. Choose another folder.")
    shutil.copytree(default_bundle() / "configs", output / "configs")
    shutil.copytree(parent.root, output, dirs_exist_ok=True)
    uses = {"training": (Role.TRAINING.value, REPLAY), "validation": (Role.HELD_OUT.value,)}
    cases = {
        section: [
            as_nifti(case.item(folder.resolve()), output.resolve() / "images" / case.name)
            for case in plan.select_by_use(*use)
        ]
        for section, use in uses.items()
    }
    (output / SITE_CASES).write_text(json.dumps(cases, indent=1) + "\n", encoding="utf-8")
    inference = json.loads((output / "configs" / "inference.json").read_text(encoding="utf-8"))
    train = output / "configs" / "train.json"
    document = {
        **json.loads(train.read_text(encoding="utf-8")),
        "network_def": inference["network_def"],
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
        **(changes or {}),
    }
    if inference["network_def"].get("_target_") == _CROSS:
        document["optimizer"] = {**document["optimizer"], "params": "$@network.cross.parameters()"}
    train.write_text(json.dumps(document, indent=4) + "\n", encoding="utf-8")
    return Bundle(output)
