"""A handler that stands elsewhere in a config because other parts refer to it."""

from typing import Any


class Attached:
    """Attach `handler`: MONAI's check of a bundle wants a component, not a reference, in each place of a handler list.

    Args:
        handler: anything with `attach`.
    """

    def __init__(self, handler: Any) -> None:
        self.handler = handler

    def attach(self, engine: Any) -> None:
        """Attach the handler itself."""
        self.handler.attach(engine)
