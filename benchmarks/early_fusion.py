"""Score the cross-sequence expert of a bundle alone: a plain early-fusion U-Net with the same data and training.

    python benchmarks/early_fusion.py split.json --dataset-dir CASES -o early_fusion
    brats-mm compare early_fusion evaluation

The network reads the whole brain at 1 mm in overlapping windows, without modality experts, gate, calibration or
coarse-to-fine search. The output folder has the format of `brats-mm evaluate`, so `brats-mm compare` reads it.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import machine
import torch
from case_list import evaluate_chosen, evaluation_parser
from torch import Tensor, nn

from brats_mm.evaluation.case import share_passes
from brats_mm.inference.coarse_to_fine import FINE_OVERLAP, FINE_WINDOW
from brats_mm.inference.engine import WindowSettings
from brats_mm.inference.predictor import Predictor
from brats_mm.inference.single_backend import create_torch_backend
from brats_mm.io.bundle import open_bundle
from brats_mm.networks.cross_mixture import CrossSequenceMixture
from brats_mm.networks.cross_sequence import CrossSequenceExpert
from brats_mm.networks.single import SingleNetwork
from brats_mm.networks.split_cross_sequence import SplitCrossSequenceExpert
from brats_mm.pipeline.network import load_network


class EarlyFusion(SingleNetwork):
    """A cross-sequence expert, or the two of a split one, without a mixture around it."""

    def __init__(self, unet: CrossSequenceExpert | SplitCrossSequenceExpert) -> None:
        super().__init__()
        self.unet = unet

    def predict_views(self, image: Tensor, views: Tensor) -> Tensor:
        with torch.autocast(image.device.type, torch.bfloat16):
            return torch.cat([self.unet(image, view).float() for view in views])

    def logit_bias(self) -> nn.Parameter:
        if isinstance(self.unet, SplitCrossSequenceExpert):
            raise NotImplementedError("Two output layers have no common bias. Use the network without offsets.")
        return self.unet.get_parameter(f"heads.{len(self.unet.heads) - 1}.bias")


def early_fusion_predictor(bundle: Path | None = None) -> Predictor:
    """Return a predictor that runs only the cross-sequence expert of a bundle."""
    network, identity = load_network(open_bundle(bundle))
    if not isinstance(network, CrossSequenceMixture):
        raise SystemExit("The bundle has no cross-sequence expert. Give a bundle of the cross_sequence method.")
    alone = EarlyFusion(network.cross).eval()
    device = torch.device("cpu")
    settings = WindowSettings(window=FINE_WINDOW, overlap=FINE_OVERLAP)
    identity = replace(identity, calibration=None, expected=None, trust=None)
    return Predictor(alone, identity, device, settings, create_torch_backend(alone, device))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = evaluation_parser(__doc__)
    parser.add_argument("--resume", action="store_true", help="continue an interrupted evaluation")
    options = machine.parse(parser, arguments)
    evaluate_chosen(options, share_passes(early_fusion_predictor(options.bundle)), resume=options.resume)


if __name__ == "__main__":
    main()
