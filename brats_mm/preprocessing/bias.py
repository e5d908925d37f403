"""N4 bias field correction (Tustison et al., IEEE TMI 2010)."""

import numpy as np
import SimpleITK as sitk  # noqa: N813 (the usual abbreviation)

from brats_mm.domain.volume import Volume
from brats_mm.preprocessing.head import compute_head_mask, downsample
from brats_mm.preprocessing.itk_volume import extract_data, to_itk

_ITERATIONS = (40, 30, 20)


def n4_bias_correction(volume: Volume) -> tuple[Volume, float]:
    """Correct the bias field of a volume with N4, fitted at 4 mm inside the head.

    Returns:
        The volume, and the ratio of the field's 95th to 5th percentile inside the head. 1 means no bias.
    """
    small = downsample(volume)
    mask = compute_head_mask(small.data) & (small.data > 0)
    if not mask.any():
        return volume, 1.0
    corrector = sitk.N4BiasFieldCorrectionImageFilter()
    corrector.SetMaximumNumberOfIterations(_ITERATIONS)
    corrector.SetNumberOfThreads(1)  # one thread sums in a fixed order, so that results are reproducible
    inside = to_itk(mask.astype(np.uint8), small.grid)
    corrector.Execute(to_itk(np.maximum(small.data, 0), small.grid), inside)
    field = extract_data(sitk.Exp(corrector.GetLogBiasFieldAsImage(to_itk(volume.data, volume.grid))))
    field_values = extract_data(sitk.Exp(corrector.GetLogBiasFieldAsImage(to_itk(small.data, small.grid))))[mask]
    low, high = np.percentile(field_values, (5, 95))
    return Volume((volume.data / np.maximum(field, 1e-3)).astype(np.float32), volume.grid), float(high / max(low, 1e-6))
