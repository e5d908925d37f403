"""Find the bundle of a running config, because MONAI does not give a config its location."""

import sys
from pathlib import Path
from traceback import walk_stack
from typing import Any

from brats_mm.errors import BundleError

METADATA = Path("configs") / "metadata.json"


def find_running_workflow() -> Any | None:
    """Return the `ConfigWorkflow` that is evaluating the caller's config entry, or None outside of one."""
    from monai.bundle import ConfigWorkflow

    owners = (frame.f_locals.get("self") for frame, _ in walk_stack(sys._getframe(1)))
    return next((owner for owner in owners if isinstance(owner, ConfigWorkflow)), None)


def bundle_folder() -> str:
    """Return the folder of the bundle whose config is running.

    This is the parent of the config's `configs` folder, so copied bundles use their own weights. For a config outside
    of a bundle, this is the current directory if it is a bundle, as in the MONAI model zoo.

    Raises:
        BundleError: neither folder is a bundle.
    """
    workflow = find_running_workflow()
    candidates = [Path.cwd()]
    if workflow is not None:
        configs = Path(workflow.config_root_path).resolve()
        candidates.insert(0, configs.parent if configs.name == "configs" else configs)
    for candidate in candidates:
        if (candidate / METADATA).is_file():
            return str(candidate)
    raise BundleError(
        f"The config is not part of a bundle: {' and '.join(map(str, candidates))} have no {METADATA.as_posix()}. "
        "Provide the folder of the bundle with --bundle_root."
    )
