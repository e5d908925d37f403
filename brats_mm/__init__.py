"""Brain tumour segmentation on MRI when sequences are missing.

Importing this package does not import torch. Accessing `Segmenter` does.
"""

from typing import TYPE_CHECKING, Any

from brats_mm.execution.telemetry import disable_usage_reports

if TYPE_CHECKING:
    from brats_mm.pipeline.segmenter import Segmenter

__version__ = "0.1.0"

disable_usage_reports()  # before any module of this package imports OpenVINO, Ray or MLflow

__all__ = ["Segmenter", "__version__"]


def __getattr__(name: str) -> Any:
    if name == "Segmenter":
        from brats_mm.pipeline.segmenter import Segmenter

        return Segmenter
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
