"""DICOM Parametric Map (PS3.3, A.75) of the entropy: float32 in nats, on the slices of its reference series."""

from typing import Any

import numpy as np

from brats_mm.domain.entropy import MAX_COMPARTMENT_NATS
from brats_mm.outputs.dicom.codes import ENTROPY, ENTROPY_EXPLANATION, NO_UNITS, make_concept
from brats_mm.outputs.dicom.findings import Findings
from brats_mm.outputs.dicom.objects import Provenance, build_image_arguments, finish_image
from brats_mm.outputs.dicom.source import SourceSeries

SERIES_NUMBER = 9802


def make_entropy_map(findings: Findings, source: SourceSeries, provenance: Provenance) -> Any:
    """Return a highdicom ParametricMap. Takes the arguments of `make_segmentation`."""
    from highdicom import VOILUTTransformation
    from highdicom.pm import DerivedPixelContrastValues, ParametricMap, RealWorldValueMapping

    mapping = RealWorldValueMapping(
        lut_label="ENTROPY",
        lut_explanation=ENTROPY_EXPLANATION,
        unit=make_concept(NO_UNITS),
        value_range=(0.0, MAX_COMPARTMENT_NATS),
        slope=1.0,
        intercept=0.0,
        quantity_definition=make_concept(ENTROPY),
    )
    window = VOILUTTransformation(
        window_center=MAX_COMPARTMENT_NATS / 2,
        window_width=MAX_COMPARTMENT_NATS,
        window_explanation="Entropy, 0 to ln 4 nats",
    )
    dataset = ParametricMap(
        pixel_array=source.frames(findings.entropy).astype(np.float32),
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[mapping],
        voi_lut_transformations=[window],
        content_label="BRATS_MM_ENTROPY",
        derived_pixel_contrast=DerivedPixelContrastValues.QUANTITY,
        **build_image_arguments("entropy", SERIES_NUMBER, findings, source, provenance),
    )
    return finish_image(dataset, findings, source, provenance)
