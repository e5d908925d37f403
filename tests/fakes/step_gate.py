"""Step a fake worker, so that a test sees each state on a machine of any speed."""

from pathlib import Path


class StepGate:
    """A folder in which a file stands for each step that may end; the fake workers wait for it.

    Args:
        folder: a folder of the test, created here.
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
