"""Stage 1 for all modalities in one command, by MONAI's `run_workflow`."""

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
    """The modalities that `all`, one name or several names stand for.

    Raises:
        OptionError: a name is none of a modality.
    """
    if modality == "all":
        return MODALITIES
    names = ensure_tuple(modality)
    known = {one.value: one for one in MODALITIES}
    strange = [str(name) for name in names if name not in known]
    if strange:
        message = f"There is no modality {', '.join(strange)}; give all, or one or several of {', '.join(known)}."
        raise OptionError(message)
    return tuple(known[name] for name in names)


class EveryExpert(BundleWorkflow):
    """Runs the config of stage 1 once a modality, one after the other, with the same settings.

    Args:
        config_file: `train.json`, `pretrain_expert.json`, and whatever files override these.
        modality: `all`, or several names.
        settings: further arguments of MONAI's `ConfigWorkflow`, overrides among them.

    Raises:
        OptionError: a name is none of a modality.
    """

    def __init__(
        self, config_file: str | Sequence[str], *, modality: str | Sequence[str] = "all", **settings: Any
    ) -> None:
        super().__init__(workflow_type="train")
        self.config_file = config_file
        self.modalities = chosen(modality)
        self.settings = settings

    def initialize(self) -> None:
        """Nothing to do: each modality's training does so itself."""

    def run(self) -> None:
        """Train one expert after the other; the data of one are let go before those of the next are loaded."""
        for position, modality in enumerate(self.modalities, start=1):
            logger.info("Expert %d of %d: %s.", position, len(self.modalities), modality.label)
            training = ConfigWorkflow(self.config_file, **self.settings, modality=modality.value)
            training.initialize()
            training.run()
            training.finalize()
            del training
            gc.collect()

    def finalize(self) -> None:
        """Nothing to do: each modality's training does so itself."""

    def _get_property(self, name: str, property: dict[str, Any]) -> Any:
        raise OptionError(_no_property(name))

    def _set_property(self, name: str, property: dict[str, Any], value: Any) -> Any:
        raise OptionError(_no_property(name))


def _no_property(name: str) -> str:
    return f"Four trainings have no common {name}; ask the workflow of a single modality for it."
