"""The list of cases of a training run."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from brats_mm.data.case_check import check_cases
from brats_mm.data.datalist import Item, load_training_items


@dataclass(frozen=True)
class CaseList:
    """A list of labelled cases, and the cases of it that a training run uses.

    Attributes:
        dataset_dir: folder that the list's paths and case names are relative to.
        datalist: JSON list, see `datalist.load_training_items`.
        needs: modalities that a case must have. Other cases are skipped.
        label_scheme: scheme of all label maps. None takes that of the list, or detects it.
    """

    dataset_dir: Path | str
    datalist: Path | str
    needs: Sequence[str] = ()
    label_scheme: str | None = None

    def items(self, section: str) -> list[Item]:
        """Return the cases of a section. See `datalist.load_training_items`."""
        return load_training_items(
            self.dataset_dir, self.datalist, section, needs=self.needs, label_scheme=self.label_scheme
        )

    def check(self) -> int:
        """Read and check all cases for training and validation. See `case_check.check_cases`."""
        return check_cases(self.dataset_dir, self.datalist, needs=self.needs, label_scheme=self.label_scheme)
