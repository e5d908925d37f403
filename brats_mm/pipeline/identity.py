"""Identify the model of a bundle, with what was fitted to its weights. Imports nothing heavy."""

from dataclasses import replace

from brats_mm.domain.prediction import ModelIdentity
from brats_mm.io.bundle import Bundle
from brats_mm.trust.calibration_file import read_subset_calibration
from brats_mm.trust.expected_performance import read_expected_dice
from brats_mm.trust.profile_file import read_trust_profile


def identify_model(bundle: Bundle, digest: str, *, parameters: int = 0, spacing_mm: float = 1.0) -> ModelIdentity:
    """Return name, version, calibration and trust profile of a bundle's model.

    Args:
        bundle: bundle of the model.
        digest: SHA-256 of the weights in hexadecimal.
        parameters: number of parameters of its network, or 0 without the network.
        spacing_mm: voxel size of the model.

    Raises:
        BundleError: a file of the bundle is damaged.
    """
    metadata = bundle.metadata()
    identity = ModelIdentity(
        name=str(metadata.get("name", bundle.root.name)),
        version=str(metadata.get("version", "unknown")),
        weights_sha256=digest,
        parameters=parameters,
        spacing_mm=spacing_mm,
        expected=read_expected_dice(bundle, digest),
        calibration=read_subset_calibration(bundle, digest),
    )
    return replace(identity, trust=read_trust_profile(bundle, identity.document()))
