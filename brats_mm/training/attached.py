"""Attach a handler that a config defines elsewhere because other entries refer to it."""

from typing import Any


class Attached:
    """Wrap a handler as a component. MONAI's bundle check rejects references in a list of handlers.

    Args:
        handler: any handler with an `attach` method.
    """

    def __init__(self, handler: Any) -> None:
        self.handler = handler

    def attach(self, engine: Any) -> None:
        """Attach the wrapped handler."""
        self.handler.attach(engine)
