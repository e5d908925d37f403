"""Score the cross-sequence expert alone in one box around each tumour, on training and validation cases.

    python benchmarks/tumour_boxes.py split.json --dataset-dir CASES --sections training validation

A gap between the sections means overfitting. Low Dice in both means underfitting. One pass per case and subset takes
a few seconds, so the check can run during a training, on the saved average weights (`--weights`).
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from brats_mm.data.datalist import load_training_items
from brats_mm.domain.availability import Availability, format_subset, to_flags
from brats_mm.domain.regions import REGIONS
from brats_mm.io.bundle import open_bundle
from brats_mm.networks.cross_mixture import CrossSequenceMixture
from brats_mm.networks.presets import cross_expert
from brats_mm.networks.split_cross_sequence import SplitCrossSequenceExpert, is_split
from brats_mm.pipeline.advise import parse_subset
from brats_mm.pipeline.network import load_network
from brats_mm.training.timed.crops import cut_plain_crop
from brats_mm.training.timed.packing import PackedCase, build_preprocessing, pack_case, unpack_image
from brats_mm.training.validation_scores import compute_dice


def box_dice(expert: nn.Module, case: PackedCase, subset: Availability, side: int) -> Tensor:
    """Compute the Dice of each region in a box around the centre of the tumour.

    Args:
        expert: the network.
        case: packed case with a tumour.
        subset: modalities that the network may see.
        side: side of the box in voxels, a multiple of 16.

    Returns:
        (c,) Dice of WT, TC and ET, 0 to 1.
    """
    centre = np.argwhere(case.labels > 0).mean(axis=0).round().astype(int).tolist()
    levels, labels = cut_plain_crop(case, centre, side)
    available = torch.tensor([to_flags(subset)])
    image = unpack_image(levels, case.scale, case.offset) * available[0, :, None, None, None]
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        logits = expert(image[None].contiguous(memory_format=torch.channels_last_3d), available).float()
    target = torch.stack([labels >= region.channel + 1 for region in REGIONS])
    return compute_dice(logits > 0, target[None])[0]


def load_expert(bundle: Path | None, weights: Path | None) -> nn.Module:
    """Return the cross-sequence expert of a bundle, with other weights if given."""
    network, _ = load_network(open_bundle(bundle))
    if not isinstance(network, CrossSequenceMixture):
        raise SystemExit("The bundle has no cross-sequence expert. Give a bundle of the cross_sequence method.")
    if weights is None:
        return network.cross.eval()
    state = torch.load(weights, weights_only=True)
    expert = SplitCrossSequenceExpert(cross_expert(), cross_expert()) if is_split(state) else cross_expert()
    expert.load_state_dict(state)
    return expert.eval()


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("datalist", type=Path, help="list of labelled cases")
    parser.add_argument("--dataset-dir", type=Path, required=True, help="folder of the list's paths")
    parser.add_argument("--sections", nargs="+", default=["training", "validation"], help="sections of the list")
    parser.add_argument("--subsets", nargs="+", default=["t1+t1ce+t2+flair", "t1ce", "flair"], metavar="SUBSET")
    parser.add_argument("--cases", type=int, help="number of cases from the start of each section (default: all)")
    parser.add_argument("--bundle", type=Path, help="bundle with a cross-sequence expert (default: the installed one)")
    parser.add_argument("--weights", type=Path, help="state dict of another cross-sequence expert")
    parser.add_argument("--side", type=int, default=128, help="side of the box in voxels")
    options = parser.parse_args(arguments)
    expert, subsets = load_expert(options.bundle, options.weights), list(map(parse_subset, options.subsets))
    print("| section | cases | " + " | ".join(f"{format_subset(subset)}, WT / TC / ET" for subset in subsets) + " |")
    print("|---|---:|" + "---|" * len(subsets))
    for section in options.sections:
        items = load_training_items(options.dataset_dir, options.datalist, section)[: options.cases]
        cases = (pack_case(item, build_preprocessing(1.0)) for item in items)
        dice = torch.stack(
            [torch.stack([box_dice(expert, case, subset, options.side) for subset in subsets]) for case in cases]
        )
        rows = (" / ".join(f"{100 * value:.1f}" for value in row) for row in dice.mean(0).tolist())
        print(f"| {section} | {len(dice)} | " + " | ".join(rows) + " |", flush=True)


if __name__ == "__main__":
    main()
