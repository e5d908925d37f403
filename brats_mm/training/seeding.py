"""Random numbers that follow from the seed and the epoch, so that a resumed run draws what it would have drawn."""

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from ignite.engine import Events
from monai.data.utils import set_rnd

_LARGEST = 2**31 - 1


class EpochSeed:
    """Attached to a trainer: seeds shuffling, transforms and worker processes anew at the start of every epoch.

    Args:
        transform: the training chain, whose random transforms keep states of their own.
        seed: of the run. Each process of a distributed run draws numbers of its own.
    """

    def __init__(self, transform: Any, *, seed: int = 0) -> None:
        self.transform = transform
        self.seed = seed

    def attach(self, engine: Any) -> None:
        """Seed before the epoch's first batch is asked for."""
        engine.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, engine: Any) -> None:
        parts = (abs(self.seed), int(engine.state.epoch), int(engine.state.rank))
        seed = int(np.random.SeedSequence(parts).generate_state(1)[0]) % _LARGEST
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)
        set_rnd(self.transform, seed)

    def state_dict(self) -> dict[str, int]:
        """What a resumed run must know."""
        return {"seed": self.seed}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Go on with an earlier run's numbers."""
        self.seed = int(state["seed"])
