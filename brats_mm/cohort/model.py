"""Load the model in a cohort's worker. Imports torch only when called, because the planner imports this module."""

from dataclasses import dataclass, replace

from brats_mm.cohort.records import Layout
from brats_mm.execution.tasks import Runner
from brats_mm.pipeline.request import SegmentRequest


@dataclass(frozen=True)
class SegmentCases:
    """Function that loads the model in a worker.

    Attributes:
        request: request for every case, without input and output.
        layout: layout of the results.
    """

    request: SegmentRequest
    layout: Layout = Layout.PLAIN

    def __call__(self, slot: int) -> Runner:
        """Return the runner of a worker. Workers are spread over all GPUs.

        Raises:
            BratsMMError: the bundle, device or backend does not exist.
        """
        import torch

        from brats_mm.cohort.segment import SegmentRunner
        from brats_mm.execution.malloc_tuning import tune_malloc_for_inference
        from brats_mm.pipeline.segmenter import Segmenter

        model = self.request.model
        if model.device in ("auto", "cuda") and torch.cuda.device_count() > 1:
            model = replace(model, device=f"cuda:{slot % torch.cuda.device_count()}")
        tune_malloc_for_inference("cpu")
        return SegmentRunner(Segmenter.from_options(model), self.request, self.layout)
