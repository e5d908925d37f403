"""A mean that takes values one by one and keeps none of them."""

import math
from dataclasses import dataclass


@dataclass
class RunningMean:
    """Mean and standard deviation of the values added so far (Welford's update); NaN values are left out.

    Attributes:
        count: values added.
        mean: their mean; 0 before the first.
    """

    count: int = 0
    mean: float = 0.0
    _spread: float = 0.0

    def add(self, value: float) -> None:
        """Take one value."""
        if math.isnan(value):
            return
        self.count += 1
        step = value - self.mean
        self.mean += step / self.count
        self._spread += step * (value - self.mean)

    @property
    def std(self) -> float:
        """Standard deviation with n - 1; NaN for fewer than two values."""
        return math.sqrt(self._spread / (self.count - 1)) if self.count > 1 else math.nan
