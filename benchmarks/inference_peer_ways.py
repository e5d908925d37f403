"""Methods of segmenting a case that `inference_peers.py` compares. Each is created once and then called on cases.

ours             the shipped model as the command line runs it
reference        our network with MONAI's sliding window, 128^3, overlap 0.5, fp32: the slow baseline
plain            four experts and a gate without optimisation: MONAI's sliding window for each expert over the whole
                 1 mm volume, 128^3, overlap 0.5, fp32, in sequence, with the maps mixed at the end
zoo              the model zoo's BraTS pipeline: MONAI's transforms, SegResNet, window 240 x 240 x 160
nnunet           nnU-Net v2's own predictor with its default 3D full-resolution BraTS plan, without mirroring
nnunet_mirrored  the same with its default mirroring: eight passes per window
"""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from monai.inferers import SlidingWindowInferer
from monai.networks.nets import SegResNet
from torch import Tensor

from brats_mm import Segmenter
from brats_mm.domain.label_map import merge_regions
from brats_mm.domain.modality import MODALITIES
from brats_mm.domain.regions import LabelConvention
from brats_mm.inference.predictor import restore_probabilities
from brats_mm.inference.prepare import prepare
from brats_mm.io.bundle import open_bundle
from brats_mm.io.case import read_case
from brats_mm.io.case_files import find_case
from brats_mm.outputs.nifti import write_labels
from brats_mm.pipeline.network import load_network
from brats_mm.pipeline.request import make_request
from brats_mm.pipeline.segment import segment

Way = Callable[[Path, Path], None]
"""Segment a case folder and write files to a folder."""

NNUNET_CLASSES = 4
"""Background, necrosis, oedema, enhancing."""


def missing_package(way: str) -> str | None:
    """Return the error for a method whose package is not installed."""
    return "nnunetv2" if way.startswith("nnunet") and importlib.util.find_spec("nnunetv2") is None else None


def ours(device: str) -> Way:
    segmenter = Segmenter.from_bundle(device=device)
    return lambda case, folder: _discard(segment(make_request(case, folder), segmenter))


def reference(device: str) -> Way:
    network, model = load_network(open_bundle())
    network = network.to(device)
    inferer = SlidingWindowInferer((128, 128, 128), sw_batch_size=1, overlap=0.5, mode="gaussian")

    @torch.inference_mode()
    def run(folder_in: Path, folder: Path) -> None:
        case = read_case(find_case(folder_in))
        made = prepare(case, model.spacing_mm)
        logits = inferer(made.image[None].to(device), network)[0].cpu()
        masks = [one >= 0.5 for one in restore_probabilities(logits, made.placement).values()]
        labels = merge_regions(*masks, LabelConvention.BRATS2023)
        write_labels(folder / "segmentation.nii.gz", labels, case.grid)

    return run


def plain(device: str) -> Way:
    network: Any = load_network(open_bundle())[0].to(device)
    inferer = SlidingWindowInferer((128, 128, 128), sw_batch_size=1, overlap=0.5, mode="gaussian")

    @torch.inference_mode()
    def run(folder_in: Path, folder: Path) -> None:
        image, affine = _stack(folder_in)
        image = image.to(device)
        maps = [
            inferer(image[:, modality.channel : modality.channel + 1], network.experts[modality.value])
            for modality in MODALITIES
        ]
        logits = torch.stack(maps).mean(dim=0)  # costs as much as mixing by gate weights
        _save(torch.sigmoid(logits[0]), affine, folder)

    return run


def zoo(device: str) -> Way:
    from monai.transforms import AsDiscreted, Compose, LoadImaged, NormalizeIntensityd, SaveImage

    network = SegResNet(
        blocks_down=[1, 2, 2, 4], blocks_up=[1, 1, 1], init_filters=16, in_channels=4, out_channels=3, dropout_prob=0.2
    )
    network = network.to(device).eval()
    before = Compose(
        [
            LoadImaged("image", ensure_channel_first=True),
            NormalizeIntensityd("image", nonzero=True, channel_wise=True),
        ]
    )
    after = AsDiscreted("pred", threshold=0.5)
    inferer = SlidingWindowInferer((240, 240, 160), sw_batch_size=1, overlap=0.5)

    @torch.inference_mode()
    def run(folder_in: Path, folder: Path) -> None:
        data: Any = before({"image": _paths(folder_in)})
        logits = inferer(data["image"][None].to(device), network)[0]
        data["pred"] = torch.sigmoid(logits)
        SaveImage(output_dir=folder, print_log=False)(after(data)["pred"].cpu())

    return run


def nnunet(device: str, *, mirrored: bool = False) -> Way:
    predictor = _nnunet_predictor(device, mirrored=mirrored)

    def run(folder_in: Path, folder: Path) -> None:
        files = [[str(path) for path in _paths(folder_in)]]
        predictor.predict_from_files_sequential(files, [str(folder / "segmentation")], save_probabilities=False)

    return run


def nnunet_mirrored(device: str) -> Way:
    return nnunet(device, mirrored=True)


WAYS: dict[str, Callable[[str], Way]] = {
    "ours": ours,
    "reference": reference,
    "plain": plain,
    "zoo": zoo,
    "nnunet": nnunet,
    "nnunet_mirrored": nnunet_mirrored,
}


def _nnunet_predictor(device: str, *, mirrored: bool) -> Any:
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
    from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    plans = PlansManager(_brats_plan())
    chosen = plans.get_configuration("3d_fullres")
    network = get_network_from_plans(
        chosen.network_arch_class_name,
        chosen.network_arch_init_kwargs,
        chosen.network_arch_init_kwargs_req_import,
        len(MODALITIES),
        NNUNET_CLASSES,
        deep_supervision=False,
    )
    predictor = nnUNetPredictor(
        tile_step_size=0.5,
        use_gaussian=True,
        use_mirroring=mirrored,
        perform_everything_on_device=device != "cpu",
        device=torch.device(device),
        allow_tqdm=False,
    )
    dataset = {
        "channel_names": {str(modality.channel): modality.value for modality in MODALITIES},
        "labels": {"background": 0, "necrosis": 1, "oedema": 2, "enhancing": 3},
        "file_ending": ".nii.gz",
    }
    network = network.to(device).eval()
    predictor.manual_initialization(network, plans, chosen, [network.state_dict()], dataset, "none", (0, 1, 2))
    return predictor


def _brats_plan() -> dict[str, Any]:
    """Return nnU-Net's default plan for BraTS: patch 128^3, six stages, 32 to 320 channels, z-score in the brain."""
    stages = 6
    plan = {
        "data_identifier": "nnUNetPlans_3d_fullres",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 2,
        "patch_size": [128, 128, 128],
        "median_image_size_in_voxels": [140.0, 171.0, 137.0],
        "spacing": [1.0, 1.0, 1.0],
        "normalization_schemes": ["ZScoreNormalization"] * len(MODALITIES),
        "use_mask_for_norm": [True] * len(MODALITIES),
        "resampling_fn_data": "resample_data_or_seg_to_shape",
        "resampling_fn_seg": "resample_data_or_seg_to_shape",
        "resampling_fn_data_kwargs": {"is_seg": False, "order": 3, "order_z": 0, "force_separate_z": None},
        "resampling_fn_seg_kwargs": {"is_seg": True, "order": 1, "order_z": 0, "force_separate_z": None},
        "resampling_fn_probabilities": "resample_data_or_seg_to_shape",
        "resampling_fn_probabilities_kwargs": {"is_seg": False, "order": 1, "order_z": 0, "force_separate_z": None},
        "architecture": {
            "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
            "arch_kwargs": {
                "n_stages": stages,
                "features_per_stage": [32, 64, 128, 256, 320, 320],
                "conv_op": "torch.nn.modules.conv.Conv3d",
                "kernel_sizes": [[3, 3, 3]] * stages,
                "strides": [[1, 1, 1]] + [[2, 2, 2]] * (stages - 1),
                "n_conv_per_stage": [2] * stages,
                "n_conv_per_stage_decoder": [2] * (stages - 1),
                "conv_bias": True,
                "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
                "norm_op_kwargs": {"eps": 1e-05, "affine": True},
                "dropout_op": None,
                "dropout_op_kwargs": None,
                "nonlin": "torch.nn.LeakyReLU",
                "nonlin_kwargs": {"inplace": True},
            },
            "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
        },
        "batch_dice": False,
    }
    return {
        "dataset_name": "Dataset000_BraTS",
        "plans_name": "nnUNetPlans",
        "original_median_spacing_after_transp": [1.0, 1.0, 1.0],
        "original_median_shape_after_transp": [140, 171, 137],
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "configurations": {"3d_fullres": plan},
        "experiment_planner_used": "ExperimentPlanner",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {str(modality.channel): {} for modality in MODALITIES},
    }


def _paths(folder: Path) -> list[str]:
    """Return the four files in the channel order of the networks."""
    files = find_case(folder).paths
    return [files[modality] for modality in MODALITIES]


def _stack(folder: Path) -> tuple[Tensor, np.ndarray]:
    """Return (1, 4, h, w, d), with z-scored non-zero voxels."""
    images = [nib.load(path) for path in _paths(folder)]
    channels = []
    for image in images:
        data = np.asarray(image.dataobj, np.float32)
        inside = data != 0
        channels.append(np.where(inside, (data - data[inside].mean()) / data[inside].std(), 0).astype(np.float32))
    return torch.from_numpy(np.stack(channels))[None], images[0].affine


def _save(probabilities: Tensor, affine: np.ndarray, folder: Path) -> None:
    """Write labels as NIfTI with nibabel."""
    labels = (probabilities >= 0.5).sum(dim=0).to(torch.uint8).cpu().numpy()
    nib.save(nib.Nifti1Image(labels, affine), folder / "segmentation.nii.gz")


def _discard(_result: object) -> None:
    """Discard a result."""
