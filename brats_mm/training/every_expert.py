"""Train the experts of all modalities (stage 1) in one run of MONAI's `run_workflow`."""

import gc
import logging
from collections.abc import Sequence
from typing import Any

from monai.bundle import BundleWorkflow, ConfigWorkflow
from monai.utils import ensure_tuple

from brats_mm.domain.modality import MODALITIES, Modality
from brats_mm.errors import OptionError

logger = logging.getLogger(__name__)


def chosen(modality: str | Sequence[str]) -> tuple[Modality, ...]:
    """Parse `all`, one name or several names into modalities.

    Raises:
        OptionError: a modality is unknown.
    """
    if modality == "all":
        return MODALITIES
    names = ensure_tuple(modality)
    known = {one.value: one for one in MODALITIES}
    strange = [str(name) for name in names if name not in known]
    if strange:
        message = f"Unknown modality {', '.join(strange)}. Give all, or one or several of {', '.join(known)}."
        raise OptionError(message)
    return tuple(known[name] for name in names)


class EveryExpert(BundleWorkflow):
    """Workflow that runs the config of stage 1 for each modality in turn, with the same settings.

    Args:
        config_file: `train.json`, `pretrain_expert.json`, and files that override them.
        modality: `all`, or several names.
        settings: further arguments and overrides for MONAI's `ConfigWorkflow`.

    Raises:
        OptionError: a modality is unknown.
    """

    def __init__(
        self, config_file: str | Sequence[str], *, modality: str | Sequence[str] = "all", **settings: Any
    ) -> None:
        super().__init__(workflow_type="train")
        self.config_file = config_file
        self.modalities = chosen(modality)
        self.settings = settings

    def initialize(self) -> None:
        """Do nothing. Each modality's workflow initialises itself."""

    def run(self) -> None:
        """Train the experts in turn. Release the data of one before loading the data of the next."""
        for position, modality in enumerate(self.modalities, start=1):
            logger.info("Expert %d of %d: %s.", position, len(self.modalities), modality.label)
            training = ConfigWorkflow(self.config_file, **self.settings, modality=modality.value)
            training.initialize()
            training.run()
            training.finalize()
            del training
            gc.collect()

    def finalize(self) -> None:
        """Do nothing. Each modality's workflow finalises itself."""

    def _get_property(self, name: str, property: dict[str, Any]) -> Any:
        raise OptionError(_no_property(name))

    def _set_property(self, name: str, property: dict[str, Any], value: Any) -> Any:
        raise OptionError(_no_property(name))


def _no_property(name: str) -> str:
    return f"The four trainings have no common {name}. Use the workflow of a single modality."
