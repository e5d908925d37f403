"""Advance a fake worker step by step, so that a test sees each state on a machine of any speed."""

from pathlib import Path


class StepGate:
    """A folder with a file for each step that may end. The fake workers wait for these files.

    Args:
        folder: folder to create.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    @property
    def behaviour(self) -> dict[str, str]:
        """The part of a fake worker's behaviour that names this gate."""
        return {"gate": str(self.folder)}

    def open(self, steps: int) -> None:
        """Let the first `steps` steps end."""
        for step in range(steps):
            (self.folder / str(step)).touch()
