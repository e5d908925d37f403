"""Both stages of training on synthetic cases: the models learn, the ranking loss works, and a killed run resumes."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from signal import SIGKILL
from typing import TypeAlias

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser

import brats_mm
from brats_mm.domain.availability import NESTED_PAIRS, SUBSETS, to_flags
from brats_mm.domain.modality import MODALITIES
from brats_mm.domain.regions import REGIONS
from brats_mm.io.bundle import default_bundle, list_training_configs
from brats_mm.losses.mofe import hinge
from brats_mm.losses.segmentation import compute_task_terms
from brats_mm.metrics.monotonicity import PairTally, tally_pairs
from tests.fakes.killing import killed_at

pytestmark = pytest.mark.slow

CONFIGS = default_bundle() / "configs"
SHAPE = (36, 16, 16)
TRAINING, HELD_OUT = 8, 12
EXPERT_EPOCHS, EPOCHS = 12, 8
RANKING_WEIGHT = 5.0
"""Far above the paper's 0.1, so that few steps show its effect."""

EXPERT = {"_target_": "brats_mm.networks.expert.UNetExpert", "widths": [4, 8]}
MIXTURE = {
    "_target_": "brats_mm.networks.dmome.DMoME",
    "experts": {modality.value: EXPERT for modality in MODALITIES},
    "gate": {"_target_": "brats_mm.networks.gating.GatingNetwork", "modalities": 4, "outputs": 3},
}
SGD = {
    "_target_": "torch.optim.SGD",
    "params": "$@network.parameters()",
    "lr": "@learning_rate",
    "momentum": 0.9,
}
"""Use SGD, whose steps scale with the gradient. Adam's steps would hide the weight of the ranking loss."""

SETTINGS = {
    "device": "cpu",
    "seed": 2,
    "batch_size": 2,
    "spacing_mm": 1.0,
    "window": [48, 16, 16],
    "validation_window": [48, 16, 16],
    "steps::divisible::k": 4,
    "augmentation": "paper",
}


def trained_for(epochs: int, **more: object) -> dict[str, object]:
    return {**SETTINGS, "epochs": epochs, "val_interval": epochs, **more}


STAGES = {
    "pretrain_expert": trained_for(EXPERT_EPOCHS, network_def=EXPERT, learning_rate=0.06),
    "train": trained_for(
        EPOCHS,
        network_def=MIXTURE,
        learning_rate=0.001,
        schedule="constant",
        optimizer=SGD,
        pair_sampler="uniform",
        pairs=4,
    ),
}


def shells(centre: Sequence[float]) -> np.ndarray:
    """Return a label map of nested necrosis, enhancing tumour and oedema around a centre."""
    at = np.stack(np.meshgrid(*(np.arange(side) for side in SHAPE), indexing="ij"), axis=-1)
    distance = np.linalg.norm(at - np.array(centre), axis=-1)
    return np.select([distance < 2.6, distance < 4.2, distance < 6], [1, 3, 2], 0).astype(np.uint8)


def write_case(root: Path, name: str, seed: int, *, misleading: bool) -> None:
    """Write an ellipsoid of brain with a tumour that is clearest in T1 and faintest in T2.

    A misleading T1 shows the tumour equally clearly in a wrong position.
    """
    rng = np.random.default_rng(seed)
    at = np.stack(np.meshgrid(*(np.arange(side) for side in SHAPE), indexing="ij"), axis=-1)
    brain = np.linalg.norm((at - (17.5, 7.5, 7.5)) / (17, 7.6, 7.6), axis=-1) < 1
    centre = [rng.uniform(8, 27), *rng.uniform(6.5, 8.5, 2)]
    labels = shells(centre)
    elsewhere = shells([centre[0] + (12 if centre[0] < 17.5 else -12), 7.5, 7.5])
    contrast = {"t1": (60, 30, 90), "t1ce": (40, 25, 90), "t2": (40, 25, 30), "flair": (50, 60, 70)}
    noise = {"t1": 5, "t1ce": 90, "t2": 90, "flair": 90}
    folder, affine = root / name, np.diag([-1.0, -1.0, 1.0, 1.0])
    folder.mkdir(parents=True)
    for modality, gains in contrast.items():
        shown = elsewhere if misleading and modality == "t1" else labels
        signal = 100 + np.array([0, *gains])[shown] + rng.normal(0, noise[modality], SHAPE)
        # Noise must not make brain voxels look like background.
        voxels = np.where(brain, np.maximum(signal, 30), 0).astype(np.float32)
        nib.save(nib.Nifti1Image(voxels, affine), folder / f"{name}-{modality}.nii.gz")
    nib.save(nib.Nifti1Image(labels, affine), folder / f"{name}-seg.nii.gz")


RUN_MODULE = "import runpy; runpy.run_module('monai.bundle', run_name='__main__', alter_sys=True)"
Started: TypeAlias = "subprocess.Popen[str]"


@dataclass(frozen=True)
class Place:
    """Locations of the cases, the settings of each stage, and the models of a run."""

    root: Path

    def start(self, stage: str, models: str, kill_at: str | None = None, **settings: object) -> Started:
        """Start a run with the bundle's command line, with its output in a pipe.

        With `kill_at`, the run kills itself once its log contains the text.
        """
        files = [*map(str, list_training_configs(CONFIGS, stage)), str(self.root / f"{stage}.json")]
        program = ["-m", "monai.bundle"] if kill_at is None else ["-c", killed_at(kill_at) + RUN_MODULE]
        command = [sys.executable, "-W", "ignore", *program, "run", "--config_file", str(files)]
        places = {"dataset_dir": "cases", "datalist": f"cases/{stage}.json", "output_dir": models}
        for name, value in {**{name: self.root / path for name, path in places.items()}, **settings}.items():
            command += [f"--{name}", str(value)]
        environment = {**os.environ, "PYTHONPATH": str(Path(brats_mm.__file__).parents[1]), "OMP_NUM_THREADS": "1"}
        return subprocess.Popen(
            command, cwd=self.root, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )

    def last(self, models: str) -> dict[str, object]:
        """Return the state after the last epoch of stage 2."""
        state: dict[str, object] = torch.load(self.root / models / "model_last.pt", weights_only=True)
        return state


def finished(run: Started) -> str:
    """Wait for a run and return its log."""
    output, _ = run.communicate()
    assert run.returncode == 0, output[-4000:]
    return output


def curve(log: str) -> dict[int, float]:
    """Return the mean loss of each epoch."""
    return {int(epoch): float(loss) for epoch, loss in re.findall(r"Epoch (\d+) of \d+: loss ([\d.]+),", log)}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Synthetic cases, a list for each stage, and the settings of tiny networks."""
    root = tmp_path_factory.mktemp("training")
    names = [f"case_{seed}" for seed in range(2 * TRAINING + HELD_OUT)]
    clean, misled, held_out = names[:TRAINING], names[TRAINING:-HELD_OUT], names[-HELD_OUT:]
    for seed, name in enumerate(names):
        write_case(root / "cases", name, seed, misleading=name not in clean)
    for stage, training in (("pretrain_expert", clean), ("train", misled)):
        split = {"training": training, "validation": held_out}
        (root / "cases" / f"{stage}.json").write_text(json.dumps(split))
    for stage, settings in STAGES.items():
        (root / f"{stage}.json").write_text(json.dumps(settings))
    return Place(root)


@pytest.fixture(scope="module")
def experts(place: Place) -> dict[str, dict[int, float]]:
    """Run stage 1 of the four experts, and return their loss curves."""
    return {
        modality.value: curve(finished(place.start("pretrain_expert", "experts", modality=modality.value)))
        for modality in MODALITIES
    }


def stage_2(
    place: Place, models: str, ranking_weight: float, kill_at: str | None = None, **settings: object
) -> Started:
    """Start stage 2 from the experts."""
    result = place.root / "experts"
    return place.start("train", models, kill_at=kill_at, experts_dir=result, ranking_weight=ranking_weight, **settings)


@pytest.fixture(scope="module")
def mixtures(place: Place, experts: dict[str, dict[int, float]]) -> dict[str, dict[int, float]]:
    """Run stage 2 from the same experts and seed, with and without MoFe, and return the loss curves."""
    runs = {"ranked": stage_2(place, "ranked", RANKING_WEIGHT), "unranked": stage_2(place, "unranked", 0.0)}
    try:
        return {name: curve(finished(run)) for name, run in runs.items()}
    finally:
        for run in runs.values():
            run.kill()


def ranking_of(place: Place, models: str) -> tuple[float, PairTally]:
    """Measure by how much and how often more sequences scored worse, over all nested pairs of the held-out cases.

    Returns the mean hinge of the task loss, which MoFe lowers in training, and the tally of Dice.
    """
    parser = ConfigParser(json.loads((CONFIGS / "train.json").read_text()))
    datalist = str(place.root / "cases" / "train.json")
    parser.update({**STAGES["train"], "dataset_dir": str(place.root / "cases"), "datalist": datalist})
    network = parser.get_parsed_content("network_def").eval()
    network.load_state_dict(torch.load(place.root / models / "model.pt", weights_only=True))
    every = torch.tensor([to_flags(subset) for subset in SUBSETS])
    hinges, tally = [], PairTally()
    for case in parser.get_parsed_content("validate::dataloader"):
        with torch.no_grad():
            logits = network(case["image"].as_tensor(), every)  # 15 views of one case
        truth = case["label"].as_tensor().float().expand_as(logits)
        loss = dict(zip(SUBSETS, compute_task_terms(logits, truth).task.mean(1), strict=True))
        hinges += [float(hinge(loss[more], loss[fewer])) for more, fewer in NESTED_PAIRS]
        masks = (logits >= 0).float()
        overlap, sizes = (masks * truth).sum((2, 3, 4)), (masks + truth).sum((2, 3, 4))
        for region in REGIONS:
            dice = (2 * overlap / sizes)[:, region.channel].tolist()
            tally += tally_pairs(dict(zip(SUBSETS, dice, strict=True)))
    return sum(hinges) / len(hinges), tally


def test_loss_of_every_expert_falls(experts: dict[str, dict[int, float]]) -> None:
    for modality, loss in experts.items():
        assert loss[EXPERT_EPOCHS] < 0.6 * loss[1], modality


def test_loss_of_mixture_falls(mixtures: dict[str, dict[int, float]]) -> None:
    for name, loss in mixtures.items():
        assert (loss[EPOCHS - 1] + loss[EPOCHS]) / 2 < 0.9 * loss[1], name


def test_mofe_improves_ranking_of_more_sequences(place: Place, mixtures: dict[str, dict[int, float]]) -> None:
    (hinge_with, with_mofe), (hinge_without, without) = (ranking_of(place, name) for name in ("ranked", "unranked"))

    assert with_mofe.pairs == without.pairs == 50 * len(REGIONS) * HELD_OUT
    assert hinge_with < 0.6 * hinge_without
    assert with_mofe.lost_dice < 0.8 * without.lost_dice


def test_killed_and_resumed_training_ends_like_uninterrupted_one(
    place: Place, mixtures: dict[str, dict[int, float]]
) -> None:
    broken = stage_2(place, "broken", RANKING_WEIGHT, kill_at=f"Epoch {EPOCHS // 2} of {EPOCHS}")
    output, _ = broken.communicate()
    assert broken.returncode == -SIGKILL, output[-4000:]
    reached = place.last("broken")["epoch"]
    assert 1 <= int(str(reached)) < EPOCHS

    rest = curve(finished(stage_2(place, "broken", RANKING_WEIGHT, resume="true")))

    assert min(rest) == int(str(reached)) + 1, "it resumes and does not restart"
    assert rest == pytest.approx({epoch: mixtures["ranked"][epoch] for epoch in rest}, abs=1e-4)
    uninterrupted, resumed = (place.last(name)["network"] for name in ("ranked", "broken"))
    assert uninterrupted.keys() == resumed.keys()
    for name, value in uninterrupted.items():
        torch.testing.assert_close(resumed[name], value, rtol=0, atol=1e-5, msg=name)
