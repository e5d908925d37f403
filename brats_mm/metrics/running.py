"""Running mean and standard deviation."""

import math
from dataclasses import dataclass


@dataclass
class RunningMean:
    """Mean and standard deviation by Welford's update. NaN values are ignored.

    Attributes:
        count: number of values.
        mean: mean of the values. 0 if there are none.
    """

    count: int = 0
    mean: float = 0.0
    _spread: float = 0.0

    def add(self, value: float) -> None:
        """Add one value."""
        if math.isnan(value):
            return
        self.count += 1
        step = value - self.mean
        self.mean += step / self.count
        self._spread += step * (value - self.mean)

    @property
    def std(self) -> float:
        """Sample standard deviation (n - 1). NaN for fewer than two values."""
        return math.sqrt(self._spread / (self.count - 1)) if self.count > 1 else math.nan
