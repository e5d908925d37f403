"""Score the cross-sequence expert of a bundle alone: a plain early-fusion U-Net with the same data and training.

    python benchmarks/early_fusion.py split.json --dataset-dir CASES -o early_fusion
    brats-mm compare early_fusion evaluation

The network reads the whole brain at 1 mm in overlapping windows, without modality experts, gate, calibration or
coarse-to-fine search. The output folder has the format of `brats-mm evaluate`, so `brats-mm compare` reads it.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import machine
import torch
from torch import Tensor, nn

from brats_mm.domain.availability import SUBSETS
from brats_mm.evaluation.case import shared_passes
from brats_mm.evaluation.run import EvaluationSettings, evaluate
from brats_mm.inference.coarse_to_fine import FINE_OVERLAP, FINE_WINDOW
from brats_mm.inference.engine import WindowSettings
from brats_mm.inference.predictor import Predictor
from brats_mm.inference.single_backend import torch_backend
from brats_mm.io.bundle import open_bundle
from brats_mm.io.labelled_cases import labelled_cases
from brats_mm.networks.cross_mixture import CrossSequenceMixture
from brats_mm.networks.cross_sequence import CrossSequenceExpert
from brats_mm.networks.single import SingleNetwork
from brats_mm.pipeline.advise import parse_subset
from brats_mm.pipeline.network import load_network


class EarlyFusion(SingleNetwork):
    """A cross-sequence expert without a mixture around it."""

    def __init__(self, unet: CrossSequenceExpert) -> None:
        super().__init__()
        self.unet = unet

    def predict_views(self, image: Tensor, views: Tensor) -> Tensor:
        with torch.autocast(image.device.type, torch.bfloat16):
            return torch.cat([self.unet(image, view).float() for view in views])

    def logit_bias(self) -> nn.Parameter:
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
    return Predictor(alone, identity, device, settings, torch_backend(alone, device))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("dataset", type=Path, metavar="DATALIST", help="JSON list of cases, or folder of case folders")
    parser.add_argument("--dataset-dir", type=Path, metavar="DIR", help="folder of the list's paths")
    parser.add_argument("--section", default="validation", help="section of the list")
    parser.add_argument("--cases", nargs="*", default=[], metavar="CASE", help="only these cases")
    parser.add_argument("--subsets", nargs="*", metavar="SUBSET", help="only these subsets, such as t1ce+flair")
    parser.add_argument("--bundle", type=Path, help="bundle with a cross-sequence expert (default: the installed one)")
    parser.add_argument("--resume", action="store_true", help="continue an interrupted evaluation")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder for the tables")
    options = machine.parse(parser, arguments)
    cases = labelled_cases(
        options.dataset, dataset_dir=options.dataset_dir, section=options.section, names=options.cases
    )
    subsets = tuple(map(parse_subset, options.subsets)) if options.subsets else SUBSETS
    settings = EvaluationSettings(subsets=subsets, plots=False, resume=options.resume)
    evaluate(
        cases,
        options.output,
        shared_passes(early_fusion_predictor(options.bundle)),
        settings,
        on_case=lambda done, total, name: print(f"{done} of {total}: {name}", flush=True),
    )


if __name__ == "__main__":
    main()
