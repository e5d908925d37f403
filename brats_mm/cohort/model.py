"""How a cohort's worker comes by its model. The planner imports this, and so no torch before a worker calls it."""

from dataclasses import dataclass, replace

from brats_mm.cohort.engine import Runner
from brats_mm.cohort.records import CohortModel, CohortOutput
from brats_mm.domain.preprocessing import PreprocessingOptions


@dataclass(frozen=True)
class SegmentCases:
    """Loads the model in a worker."""

    model: CohortModel
    output: CohortOutput
    preparation: PreprocessingOptions

    def __call__(self, slot: int) -> Runner:
        """The runner of a worker; with several GPUs, workers take turns on them.

        Raises:
            BratsMMError: there is no such bundle, device or backend.
        """
        import torch

        from brats_mm.cohort.segment import SegmentRunner
        from brats_mm.inference.engine import PRESETS
        from brats_mm.pipeline.segment import Segmenter

        model = self.model
        device = model.device
        if device in ("auto", "cuda") and torch.cuda.device_count() > 1:
            device = f"cuda:{slot % torch.cuda.device_count()}"
        settings = replace(
            PRESETS[model.point],
            window=(model.window,) * 3,
            overlap=model.overlap,
            keep_weight_maps=self.output.importance_maps,
        )
        segmenter = Segmenter.from_bundle(model.bundle, device=device, backend=model.backend, settings=settings)
        return SegmentRunner(segmenter, self.output, self.preparation)
