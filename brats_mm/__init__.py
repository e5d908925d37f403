"""Brain tumour segmentation on MRI when sequences are missing.

Importing this package does not import torch. Accessing `Segmenter` does.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from brats_mm.pipeline.segmenter import Segmenter

__version__ = "0.1.0"

__all__ = ["Segmenter", "__version__"]


def __getattr__(name: str) -> Any:
    if name == "Segmenter":
        from brats_mm.pipeline.segmenter import Segmenter

        return Segmenter
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
