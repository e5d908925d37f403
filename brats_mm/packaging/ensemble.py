"""Create a bundle that averages the models of several bundles, such as those of the folds of a cross-validation."""

from collections.abc import Sequence
from pathlib import Path

import torch

from brats_mm.errors import BundleError, OptionError, OutputError
from brats_mm.io.bundle import Bundle
from brats_mm.networks.ensemble import Ensemble
from brats_mm.packaging.create import CreatedBundle, write_bundle
from brats_mm.pipeline.network import load_network, read_inference_config


def create_ensemble(bundles: Sequence[Bundle], folder: Path, *, version: str, trusted: bool = False) -> CreatedBundle:
    """Write a bundle whose network is the mean of the logits of other bundles.

    Corrections in `models/calibration.json` of a member are dropped, because they apply only to the logits of that
    member. Offsets in the weights are kept.

    Args:
        bundles: at least two bundles with the same voxel size.
        folder: folder for the new bundle. It must not contain a bundle.
        version: version of the new bundle.
        trusted: see `load_network`.

    Raises:
        OptionError: there are fewer than two bundles, or a network is of a kind that cannot be averaged.
        BundleError: a bundle is damaged, or the voxel sizes differ.
        OutputError: the folder already holds a bundle or cannot be written to.
    """
    if len(bundles) < 2:
        raise OptionError(f"An ensemble needs at least two bundles, but got {len(bundles)}.")
    if (folder / "configs").exists():
        raise OutputError(f"{folder} already holds a bundle. Choose another folder.")
    loaded = [load_network(bundle, trusted=trusted) for bundle in bundles]
    sizes = {identity.spacing_mm for _, identity in loaded}
    if len(sizes) > 1:
        sizes_text = " and ".join(f"{size:g} mm" for size in sorted(sizes))
        raise BundleError(
            f"The bundles have different voxel sizes ({sizes_text}). Provide bundles with the same voxel size."
        )
    configs = [read_inference_config(bundle) for bundle in bundles]
    definition = {
        "_target_": "brats_mm.networks.ensemble.Ensemble",
        "members": [config["network_def"] for config in configs],
    }
    metadata = bundles[0].metadata()
    metadata = {
        **metadata,
        "name": f"{metadata.get('name', 'model')}_ensemble",
        "version": version,
        "members": [
            {"name": member_identity.name, "weights_sha256": member_identity.weights_sha256}
            for _, member_identity in loaded
        ],
    }
    network = Ensemble([network.to(torch.float32) for network, _ in loaded])
    return write_bundle(
        folder,
        bundles[0],
        network,
        inference={**configs[0], "network_def": definition},
        metadata=metadata,
        correction=f"Mean of the logits of {len(bundles)} models.",
    )
