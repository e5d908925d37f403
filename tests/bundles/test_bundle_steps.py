"""The steps of the inference config match the library, and training sees the same input as inference."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from monai.data import MetaTensor
from monai.transforms import Invertd

from brats_mm.data.datalist import find_item
from brats_mm.domain.modality import MODALITIES, Modality
from brats_mm.domain.regions import LabelConvention
from brats_mm.errors import OptionError
from brats_mm.inference.bundle_steps import EngineInferer, ToModelGridd, find_available
from brats_mm.inference.engine import BACKGROUND_LOGIT
from brats_mm.inference.prepare import prepare
from brats_mm.networks.dmome import DMoME
from brats_mm.networks.gating import UniformGate
from brats_mm.pipeline.segment import load_case

CONFIGS = Path(__file__).resolve().parents[2] / "bundles" / "brats_mm_segmentation" / "configs"


def test_training_and_inference_see_same_voxels(cases: Path) -> None:
    """The cached part of the training transforms gives the same tensor as `prepare`."""
    steps = ConfigParser.load_config_file(CONFIGS / "train.json")["steps"]
    names = ("load", "orient", "crop_brain", "normalise", "regions")
    steps["load"] = {**steps["load"], "modalities": ["t1", "t1ce", "t2", "flair"]}
    chain = ConfigParser(
        {"chain": {"_target_": "Compose", "transforms": [steps[name] for name in names]}}
    ).get_parsed_content("chain")
    item = find_item(cases / "two")

    trained_on = chain(item)
    expected = prepare(load_case({Modality(name): Path(path) for name, path in item["image"].items()}))  # type: ignore[index]

    assert trained_on["available"].tolist() == expected.flags.tolist()
    assert trained_on["image"].shape == expected.image.shape
    assert torch.allclose(torch.as_tensor(trained_on["image"]), expected.image, atol=1e-4)


@pytest.mark.parametrize("spacing", [1.0, 2.0], ids=["1 mm", "2 mm, resampled"])
def test_voxels_keep_patient_positions(tmp_path: Path, spacing: float) -> None:
    """The affines of box and input map the brightest voxel to the same position."""
    affine = np.array([[0, -spacing, 0, 10], [spacing, 0, 0, -20], [0, 0, -spacing, 30], [0, 0, 0, 1.0]])
    voxels = np.zeros((40, 44, 48), np.float32)
    voxels[8:32, 6:38, 4:40] = np.random.default_rng(0).normal(100, 1, (24, 32, 36))
    voxels[20:22, 10:12, 12:14] = 500
    nib.save(nib.Nifti1Image(voxels, affine), tmp_path / "x-t1ce.nii.gz")

    image = ToModelGridd("image", load_case)({"image": str(tmp_path)})["image"]

    bright = torch.nonzero(image[Modality.T1CE.channel] > 0.9 * image.max()).float().mean(dim=0).numpy()
    in_patient = image.affine.numpy() @ np.append(bright, 1)
    assert np.allclose(in_patient, affine @ [20.5, 10.5, 12.5, 1], atol=0.01)


def test_inverse_restores_input_grid(cases: Path, tmp_path: Path) -> None:
    step = ToModelGridd("image", load_case)
    source = nib.load(cases / "one" / "one-t2.nii.gz")
    data = step({"image": str(cases / "two")})
    data["pred"] = MetaTensor(torch.ones(3, *data["image"].shape[1:]))

    restored = Invertd("pred", transform=step, orig_keys="image", nearest_interp=False)(data)["pred"]

    assert restored.shape == (3, *source.shape)
    assert np.array_equal(restored.affine.numpy(), source.affine)
    brain = np.asarray(nib.load(cases / "one" / "one-t1.nii.gz").dataobj) != 0
    assert np.asarray(restored[0])[brain].min() == 1
    assert float(restored.min()) == BACKGROUND_LOGIT


class _Says(torch.nn.Module):
    """An expert with the same logit everywhere."""

    def __init__(self, logit: float) -> None:
        super().__init__()
        self.logit = logit

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.full((len(x), 3, *x.shape[2:]), self.logit)


def test_availability_is_passed_on_or_derived_from_whole_case() -> None:
    """Experts with logits 1, 2, 4 and 8 and equal weights give 1.5 with T1 and T1ce, and 2 with T1ce alone."""
    experts = {modality.value: _Says(2.0**modality.channel) for modality in MODALITIES}
    network = DMoME(experts, UniformGate(modalities=4, outputs=3))
    image = torch.zeros(1, 4, 10, 12, 14)
    image[:, 1] = 1
    infer = EngineInferer([64, 64, 64])

    given = infer(image, network, torch.tensor([[True, True, False, False]]))
    guessed = infer(image, network)

    assert given.shape == (1, 3, 10, 12, 14)
    assert torch.allclose(given, torch.tensor(1.5), atol=1e-3)
    assert torch.allclose(guessed, torch.tensor(2.0), atol=1e-3)
    given += 1  # an ordinary tensor, not one of inference mode


def test_all_zero_case_counts_as_complete() -> None:
    assert len(find_available(torch.zeros(1, 4, 2, 2, 2))[0]) == 4


def test_unknown_convention_error_lists_choices() -> None:
    with pytest.raises(OptionError, match=r"'brats2020'\. Choose one of brats2023, brats2021"):
        LabelConvention.parse("brats2020")
