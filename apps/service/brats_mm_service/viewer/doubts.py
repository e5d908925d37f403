"""Store the model's uncertainty about the cases on the server across restarts.

Only a number for each case id is kept, of the newest result.
"""

import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FILE = "doubts.json"


def doubt_of(report: Mapping[str, Any]) -> float:
    """Return the doubt about a result, 0 to 1: what its estimated Dice of the whole tumour lacks of 1.

    A case in which nothing was found has no estimate and counts as 1.
    """
    estimate = report.get("regions", {}).get("wt", {}).get("estimated_dice")
    return 1.0 if estimate is None else 1.0 - float(estimate)


class Doubts:
    """Doubt by case id, in one file of the data folder."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._lock = threading.Lock()

    def all(self) -> dict[str, float]:
        """Return the uncertainty of each case with a result. Empty if the file is unreadable."""
        try:
            stored = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return {str(case): float(doubt) for case, doubt in stored.items()} if isinstance(stored, dict) else {}

    def note(self, case: str, doubt: float) -> None:
        """Keep the doubt about a case, replacing the one before."""
        with self._lock:
            known = {**self.all(), case: round(doubt, 4)}
            partial = self._path.with_suffix(".partial")
            partial.write_text(json.dumps(known, sort_keys=True), encoding="utf-8")
            partial.replace(self._path)
