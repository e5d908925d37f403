"""Validate the headers of a series before computing by creating the DICOM objects of a trivial result."""

import numpy as np

from brats_mm.domain.modality import MODALITIES
from brats_mm.domain.prediction import ModelIdentity
from brats_mm.domain.regions import Compartment, Region
from brats_mm.errors import VolumeError
from brats_mm.io.dicom.suppress_warnings import suppress_warnings
from brats_mm.outputs.dicom.findings import Findings, Measured
from brats_mm.outputs.dicom.objects import Provenance
from brats_mm.outputs.dicom.source import SourceSeries
from brats_mm.trust.assess import Assessment, RegionTrust
from brats_mm.trust.case_dice import Grade

_MODEL = ModelIdentity("trial", "0", "0" * 64, 0)
_NOTHING = Measured(0.0, None)
_TRUST = RegionTrust(0.5, 0.5, (0.4, 0.6), Grade.REVIEW, (0.0, 1.0))


def check_headers(source: SourceSeries, title: str) -> None:
    """Check that DICOM results can refer to a series.

    Args:
        source: the headers of the series.
        title: name of the series for error messages.

    Raises:
        VolumeError: an attribute is missing or has a value that DICOM does not allow.
    """
    from brats_mm.outputs.dicom.parametric_map import make_entropy_map
    from brats_mm.outputs.dicom.segmentation_object import make_segmentation
    from brats_mm.outputs.dicom.structured_report import make_report

    findings, provenance = _make_trivial_findings(source), Provenance("trial")
    try:
        with suppress_warnings():
            segmentation = make_segmentation(findings, source, provenance)
            make_entropy_map(findings, source, provenance)
            make_report(findings, source, segmentation, provenance)
    except Exception as error:  # noqa: BLE001 (pydicom and highdicom raise many types, and their messages quote values)
        raise VolumeError(
            f"DICOM results cannot refer to {title}: its headers lack an attribute or have an invalid value "
            f"({type(error).__name__}). Send the series again, select another one, or omit --dicom."
        ) from None


def _make_trivial_findings(source: SourceSeries) -> Findings:
    """Return findings with a label on every slice, because a segmentation only refers to slices with frames."""
    return Findings(
        labels=np.ones(source.grid.shape, np.uint8),
        entropy=np.zeros(source.grid.shape, np.float32),
        compartments=dict.fromkeys(Compartment, _NOTHING),
        regions=dict.fromkeys(Region, _NOTHING),
        used=frozenset(MODALITIES),
        missing=frozenset(),
        model=_MODEL,
        trust=Assessment(dict.fromkeys(Region, _TRUST), (), None),
    )
