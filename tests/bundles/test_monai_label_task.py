"""The bundle inside MONAI Label's BundleInferTask, whose calls these steps repeat.

The task takes the keys from the first input and output of `metadata.json`, runs the inferer with image and network only,
appends `Restored` for the key of the first output, and writes the key `pred` as a file with as many axes as it has.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser

from brats_mm.inference.engine import WindowSettings
from brats_mm.pipeline.segment import load_case
from brats_mm.pipeline.segmenter import Segmenter

pytestmark = pytest.mark.slow


def _infer(bundle: Path, image: str) -> dict[str, Any]:
    """Return the data of a request after the steps of the task, before its writer."""
    config = ConfigParser()
    config.read_config(str(bundle / "configs" / "inference.json"))
    config.config.update({"bundle_root": str(bundle), "device": "cpu"})
    formats = json.loads((bundle / "configs" / "metadata.json").read_text())["network_data_format"]
    key_image, key_pred = next(iter(formats["inputs"])), next(iter(formats["outputs"]))
    network = config.get_parsed_content("network_def")
    network.load_state_dict(torch.load(bundle / "models" / "model.pt"), strict=False)

    data: dict[str, Any] = {"image": image, "image_path": image, "device": "cpu"}
    for step in config.get_parsed_content("preprocessing").transforms:
        data = step(data)
    with torch.no_grad():
        data["pred"] = config.get_parsed_content("inferer")(data[key_image][None], network.eval())[0]
    for step in config.get_parsed_content("postprocessing").transforms:
        data = step(data)
    restored = data[key_pred]  # `Restored` drops a channel of length 1
    return {**data, key_pred: restored if restored.ndim <= 3 else restored[0]}


@pytest.mark.parametrize("image", ["one", "one/one-t1ce.nii.gz"])
def test_case_folder_and_single_file_match_library_label_map(bundle: Path, cases: Path, image: str) -> None:
    result = _infer(bundle, str(cases / image))
    case = load_case(cases / image)
    windows = WindowSettings((64, 64, 64))
    segmenter = Segmenter.from_bundle(bundle, device="cpu", backend="torch", settings=windows, trust_bundle=True)
    written = result["pred"]
    assert written.shape == case.grid.shape, "a file of a label map has three axes"
    assert np.allclose(written.affine, case.grid.affine)
    expected = segmenter.predictor.predict(case).labels()
    # The task keeps the network's memory layout, so logits near 0 are rounded differently.
    assert (written.numpy() != expected).mean() < 0.001
    assert torch.equal(torch.as_tensor(result["segmentation"]), torch.as_tensor(written))
