"""Measure corrections of the logits after training on labelled cases that were not used to fit them.

    python benchmarks/calibration_choice.py CASES/datalist.json --checkpoint models/model.pt -o choice.json

Compares constants, constants with a temperature, and both for each of the 15 subsets, with each case left out in turn
(`brats_mm.trust.calibration_choice`). Use an uncalibrated checkpoint, because `brats-mm bundle create` writes the
offsets into the weights of its bundle. `--config` names the configs that the training used on top of `train.json`.
"""

import argparse
import json
import tempfile
from pathlib import Path

import machine

from brats_mm.domain.regions import REGIONS
from brats_mm.io.bundle import open_bundle
from brats_mm.io.labelled_cases import list_labelled_cases
from brats_mm.packaging.create import create_bundle
from brats_mm.pipeline.segmenter import Segmenter
from brats_mm.trust.calibration import count_cases
from brats_mm.trust.calibration_choice import compare_corrections


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("datalist", type=Path)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--config", type=Path, action="append", default=[])
    parser.add_argument("--section", default="validation")
    parser.add_argument("-o", "--output", type=Path)
    options = machine.parse(parser)
    cases = list_labelled_cases(options.datalist, section=options.section)
    with tempfile.TemporaryDirectory() as folder:
        bundle = Path(folder) / "bundle"
        create_bundle([options.checkpoint], bundle, open_bundle(None), version="as trained", configs=options.config)
        predictor = Segmenter.from_bundle(bundle, device="cpu").predictor
        counted = count_cases(predictor, cases, on_case=lambda *line: print(*line, flush=True))
    comparison = compare_corrections(counted)
    heads = [f"{kind} {region.value.upper()}" for kind in ("Dice", "nats", "inside") for region in REGIONS]
    print("| correction | " + " | ".join(heads) + " |\n|---|" + "---:|" * len(heads))
    for name, scores in comparison.items():
        cells = [f"{100 * scores.dice[region]:.1f}" for region in REGIONS]
        cells += [f"{nats[region]:.3f}" for nats in (scores.cross_entropy, scores.inside) for region in REGIONS]
        print(f"| {name} | " + " | ".join(cells) + " |")
    if options.output:
        rows = {
            name: {
                "dice": {region.value: scores.dice[region] for region in REGIONS},
                "cross_entropy": {region.value: scores.cross_entropy[region] for region in REGIONS},
                "inside": {region.value: scores.inside[region] for region in REGIONS},
            }
            for name, scores in comparison.items()
        }
        options.output.write_text(
            json.dumps({"machine": options.machine, "cases": len(cases), "corrections": rows}, indent=2) + "\n"
        )


if __name__ == "__main__":
    main()
