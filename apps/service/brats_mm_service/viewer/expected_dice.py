"""Store the expected Dice of the cases on the server, for the strategy `uncertain`.

The file holds one number for each case id, from the latest result. It survives restarts.
"""

import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from brats_mm.io.durable import write_json

FILE = "expected_dice.json"


def read_expected_dice(report: Mapping[str, Any]) -> float:
    """Return the expected Dice of the whole tumour in a `report.json`, 0 to 1. It is 0 if there is no tumour."""
    expected = report.get("regions", {}).get("wt", {}).get("expected_dice")
    return 0.0 if expected is None else float(expected)


class ExpectedDiceFile:
    """Expected Dice by case id, in one file of the data folder."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._lock = threading.Lock()

    def read(self) -> dict[str, float]:
        """Return the expected Dice of each case with a result, or nothing if the file is unreadable."""
        try:
            stored = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return {str(case): float(dice) for case, dice in stored.items()} if isinstance(stored, dict) else {}

    def set(self, case: str, dice: float) -> None:
        """Store the expected Dice of a case and replace its previous value."""
        with self._lock:
            write_json({**self.read(), case: round(dice, 4)}, self._path)
