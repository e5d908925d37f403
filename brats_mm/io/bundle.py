"""The model bundle on disk: location, metadata and hash of the weights.

Does not import torch, so that `brats-mm info` is fast. `pipeline.network` loads the network.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from brats_mm.data.json_file import read_json
from brats_mm.errors import BundleError

T = TypeVar("T")

DEFAULT_BUNDLE = "brats_mm_segmentation"
WEIGHTS = "models/model.pt"
HASHES = "models/SHA256SUMS"
"""Recorded hashes, in the format that `sha256sum -c` reads."""


@dataclass(frozen=True)
class Bundle:
    """A folder laid out as a MONAI Bundle."""

    root: Path

    @property
    def weights(self) -> Path:
        """The state dict that inference loads."""
        return self.root / WEIGHTS

    def metadata(self) -> dict[str, Any]:
        """Read `configs/metadata.json`.

        Raises:
            BundleError: the file is missing or not JSON.
        """
        path = self.root / "configs" / "metadata.json"
        if not path.exists():
            raise BundleError(
                f"{self.root} is not a model bundle: it has no configs/metadata.json. Provide the folder of a bundle."
            )
        return read_json(path, BundleError, "Restore the bundle from its archive.")

    def recorded_hash(self) -> str | None:
        """Return the recorded SHA-256 of the weights, or None."""
        path = self.root / HASHES
        if not path.is_file():
            return None
        for line in path.read_text(encoding="utf-8").splitlines():
            digest, _, name = line.partition("  ")
            if name.strip() == Path(WEIGHTS).name:
                return digest.strip()
        return None


def list_training_configs(configs: Path, stage: str) -> tuple[Path, ...]:
    """List the config files of a training stage, in the order in which MONAI merges them.

    Args:
        configs: the `configs` folder of a bundle.
        stage: `train` for the mixture, or `pretrain_expert`, whose config overrides `train.json` for a single expert.
    """
    path = configs / f"{stage}.json"
    return (path,) if stage == "train" else (configs / "train.json", path)


def default_bundle() -> Path:
    """Return the bundle of the package, from the installed package or from a checkout.

    Raises:
        BundleError: neither exists.
    """
    package = Path(__file__).resolve().parents[1]
    candidates = [package / "bundles" / DEFAULT_BUNDLE, package.parent / "bundles" / DEFAULT_BUNDLE]
    for candidate in candidates:
        if (candidate / "configs" / "metadata.json").is_file():
            return candidate
    looked = " and ".join(str(candidate) for candidate in candidates)
    raise BundleError(f"The model bundle {DEFAULT_BUNDLE} is not installed (searched {looked}). Reinstall brats-mm.")


def open_bundle(root: Path | str | None = None) -> Bundle:
    """Open a bundle.

    Args:
        root: folder of the bundle. None opens the bundle of the package.

    Raises:
        BundleError: the folder does not exist, or the package has no bundle.
    """
    folder = default_bundle() if root is None else Path(root).expanduser()
    if not folder.is_dir():
        raise BundleError(f"There is no bundle folder {folder}. Provide the folder that holds configs/ and models/.")
    return Bundle(folder)


def compute_sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def verify_hash(bundle: Bundle) -> str:
    """Return the hash of the bundle's weights after checking it.

    Raises:
        BundleError: the weights are missing or do not match the recorded hash.
    """
    if not bundle.weights.is_file():
        raise BundleError(
            f"The bundle has no weights: {bundle.weights} does not exist. Reinstall brats-mm, or save trained weights "
            "there."
        )
    computed, recorded = compute_sha256(bundle.weights), bundle.recorded_hash()
    if recorded is not None and computed != recorded:
        raise BundleError(
            f"The weights {bundle.weights} do not match the recorded hash (SHA-256 {computed[:12]}..., recorded "
            f"{recorded[:12]}...). Reinstall brats-mm. If you trained them yourself, update {HASHES}."
        )
    return computed


def read_fitted(bundle: Bundle, name: str, parse: Callable[[Mapping[str, Any]], T], remedy: str) -> T | None:
    """Read a JSON file that was fitted to the bundle's weights, or return None if the bundle has no such file.

    Raises:
        BundleError: the file is damaged.
    """
    path = bundle.root / name
    if not path.is_file():
        return None
    try:
        return parse(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BundleError(f"{path} cannot be read ({error!r}). {remedy}") from error
