"""Derive random numbers from seed and epoch, so a resumed run draws the same numbers."""

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from ignite.engine import Events
from monai.data.utils import set_rnd

_MAX_SEED = 2**31 - 1


class EpochSeed:
    """Handler that seeds shuffling, transforms and worker processes at the start of every epoch.

    Args:
        transform: training transforms. Each random transform has a separate state.
        seed: seed of the run. Each process of a distributed run draws different numbers.
    """

    def __init__(self, transform: Any, *, seed: int = 0) -> None:
        self.transform = transform
        self.seed = seed

    def attach(self, engine: Any) -> None:
        """Seed before the first batch of an epoch is requested."""
        engine.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, engine: Any) -> None:
        parts = (abs(self.seed), int(engine.state.epoch), int(engine.state.rank))
        seed = int(np.random.SeedSequence(parts).generate_state(1)[0]) % _MAX_SEED
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)
        set_rnd(self.transform, seed)

    def state_dict(self) -> dict[str, int]:
        """Return the state for a resumed run."""
        return {"seed": self.seed}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Restore the state of an earlier run."""
        self.seed = int(state["seed"])
