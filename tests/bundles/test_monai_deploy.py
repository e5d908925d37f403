"""The bundle inside MONAI Deploy's MonaiBundleInferenceOperator, whose calls these steps repeat.

The operator passes one image in memory, runs the inferer with a TorchScript network and the other inputs of
`metadata.json`, stores the result under the first output, and sends every output as an image with one channel.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from monai.data import MetaTensor

from brats_mm.inference.engine import WindowSettings
from brats_mm.pipeline.segment import load_case
from brats_mm.pipeline.segmenter import Segmenter

pytestmark = pytest.mark.slow


def _infer(bundle: Path, image: MetaTensor) -> dict[str, np.ndarray]:
    """Return the images that the operator sends."""
    parser = ConfigParser()
    parser.read_config(str(bundle / "configs" / "inference.json"))
    parser.config.update({"bundle_root": str(bundle), "device": "cpu"})
    formats = json.loads((bundle / "configs" / "metadata.json").read_text())["network_data_format"]
    plain = parser.get_parsed_content("network_def")
    plain.load_state_dict(torch.load(bundle / "models" / "model.pt", weights_only=True))
    network = torch.jit.script(plain.eval())
    first, *others = formats["inputs"]
    with torch.no_grad():
        inputs: dict[str, Any] = {first: image}
        for step in parser.get_parsed_content("preprocessing").transforms:
            inputs = step(inputs)
        tensor = inputs[first]
        extra = {name: inputs[name][None] for name in others}
        logits = parser.get_parsed_content("inferer")(inputs=tensor[None], network=network, **extra)
        outputs: dict[str, Any] = {next(iter(formats["outputs"])): logits[0], **inputs}
        for step in parser.get_parsed_content("postprocessing").transforms:
            outputs = step(outputs)
    return {name: np.squeeze(np.asarray(outputs[name].cpu()), 0) for name in formats["outputs"]}


@pytest.mark.parametrize("missing", [(), (0, 2)])
def test_image_in_memory_gives_label_map_of_library(bundle: Path, cases: Path, missing: tuple[int, ...]) -> None:
    case = load_case(cases / "one")
    order = sorted(case.volumes, key=lambda modality: modality.channel)
    stack = np.stack([case.volumes[modality].data for modality in order])
    stack[list(missing)] = 0
    sent = _infer(bundle, MetaTensor(torch.from_numpy(stack), affine=torch.from_numpy(case.grid.affine)))

    kept = {modality.value: case.volumes[modality] for modality in order if modality.channel not in missing}
    segmenter = Segmenter.from_bundle(
        bundle, device="cpu", backend="torch", settings=WindowSettings((64, 64, 64)), trust_bundle=True
    )
    expected = segmenter.predict(kept).labels()
    assert set(sent) == {"segmentation", "pred"}
    assert expected.any()
    for labels in sent.values():
        assert labels.shape == case.grid.shape
        assert (labels != expected).mean() < 0.001
