"""Configs of small networks for each method, and small cases."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

SHAPE = (40, 24, 24)
MODALITIES = ("t1", "t1ce", "t2", "flair")
EXPERT = {"_target_": "brats_mm.networks.expert.UNetExpert", "widths": [2, 2, 4]}


def _each(part: dict[str, Any]) -> dict[str, Any]:
    return dict.fromkeys(MODALITIES, part)


def mixture(gate: str = "GatingNetwork") -> dict[str, Any]:
    """Return the config of SimMLM, or with `UniformGate` of UME-MMA."""
    return {
        "_target_": "brats_mm.networks.dmome.DMoME",
        "experts": _each(EXPERT),
        "gate": {"_target_": f"brats_mm.networks.gating.{gate}", "modalities": 4, "outputs": 3},
    }


def mmp(projections: int, *, mean: bool = True) -> dict[str, Any]:
    """Return the config of MMP with a number of projected scales."""
    projection = {
        "_target_": "brats_mm.experiments.mmp.projection.Projection",
        "modalities": 4,
        "aggregated": 2,
        "heads": 2,
        "mean": mean,
    }
    decoder = {"_target_": "brats_mm.experiments.mmp.network.Decoder", "encoded": [8, 8, 16], "widths": [4, 4, 8]}
    return {
        "_target_": "brats_mm.experiments.mmp.network.MaskedProjectionNetwork",
        "encoders": _each({"_target_": "brats_mm.networks.expert.Encoder", "widths": [2, 2, 4]}),
        "projections": [{**projection, "width": width} for width in (4, 2, 2)[:projections]],
        "decoder": {**decoder, "out_channels": 3},
    }


def momke() -> dict[str, Any]:
    """Return the config of MoMKE."""
    return {
        "_target_": "brats_mm.experiments.momke.MoMKE",
        "experts": _each({"_target_": "brats_mm.networks.levels.FeatureExpert", "expert": EXPERT}),
        "routers": _each({"_target_": "brats_mm.networks.gating.GatingNetwork", "modalities": 1, "outputs": 4}),
        "head": {"_target_": "torch.nn.Conv3d", "in_channels": 8, "out_channels": 3, "kernel_size": 1},
    }


def early_fusion() -> dict[str, Any]:
    """Return the config of one network on all sequences."""
    return {
        "_target_": "brats_mm.experiments.early_fusion.EarlyFusionNetwork",
        "unet": {**EXPERT, "in_channels": 4},
    }


NETWORKS = {
    "simmlm": mixture(),
    "ume_mma": mixture("UniformGate"),
    "momke": momke(),
    "mmp": mmp(1),
    "mmp_skips": mmp(3),
    "mmp_unaligned": mmp(1),
    "mmp_without_mean": mmp(1, mean=False),
    "mmp_dropout": mmp(0),
    "mmp_plain": mmp(0),
    "early_fusion": early_fusion(),
}
"""By the name of the method's config."""


def write_small_case(folder: Path, name: str, seed: int, modalities: Sequence[str] = ("t1ce", "flair")) -> None:
    """Write an ellipsoid of brain with a tumour of three shells in each sequence, at 2 mm."""
    rng = np.random.default_rng(seed)
    at = np.stack(np.meshgrid(*(np.arange(side) for side in SHAPE), indexing="ij"), axis=-1)
    brain = np.linalg.norm((at - (19.5, 11.5, 11.5)) / (19, 11, 11), axis=-1) < 1
    distance = np.linalg.norm(at - rng.uniform((12, 10, 10), (28, 14, 14)), axis=-1)
    labels = np.select([distance < 2, distance < 4, distance < 6], [1, 3, 2], 0).astype(np.uint8)
    (folder / name).mkdir(parents=True)
    for modality in modalities:
        voxels = np.where(brain, 100 + 40 * labels + rng.normal(0, 5, SHAPE), 0).astype(np.float32)
        nib.save(nib.Nifti1Image(voxels, np.diag([2.0, 2.0, 2.0, 1.0])), folder / name / f"{name}-{modality}.nii.gz")
    nib.save(nib.Nifti1Image(labels, np.diag([2.0, 2.0, 2.0, 1.0])), folder / name / f"{name}-seg.nii.gz")
