"""A prediction with a small tumour on the grid of a synthetic series, for tests of DICOM results."""

import numpy as np

from brats_mm.domain.case import Case
from brats_mm.domain.modality import Modality
from brats_mm.domain.prediction import Importance, ModelIdentity, Prediction, Run
from brats_mm.domain.regions import Region
from brats_mm.domain.volume import Volume
from brats_mm.io.dicom.scan import scan, select_study
from brats_mm.outputs.dicom.source import read_source
from tests.fakes.dicom_series import TYPICAL, write_enhanced, write_series

MODEL = ModelIdentity("brats_mm_segmentation", "0.1.0", "ab" * 32, 1)
RUN = Run("cpu", "torch", (64, 64, 64), 1, {})


def tumour(shape):
    """Return probabilities of three nested boxes without any symmetry."""
    wt, tc, et = (np.zeros(shape, np.float32) for _ in range(3))
    i, j, k = (side // 2 for side in shape)
    wt[2:i, 1:j, 0 : k + 1] = 0.9
    tc[4:i, 3:j, 1 : k + 1] = 0.8
    et[5:i, 3 : j - 1, 2 : k + 1] = 0.7
    return {Region.WT: wt, Region.TC: tc, Region.ET: et}


def prediction_on(grid, data, sequences=(Modality.T1CE, Modality.FLAIR)):
    """Return a prediction of the tumour on a grid, with `data` as every sequence."""
    volume = Volume(np.ascontiguousarray(data, np.float32), grid)
    case = Case("case", dict.fromkeys(sequences, volume), grid)
    return Prediction(case, tumour(grid.shape), Importance({}), MODEL, RUN)


def made_source(folder, affine, shape=(12, 10, 6), *, enhanced=False, facts=TYPICAL["t1ce"]):
    """Write a series, and return it as a source with its voxels on its grid."""
    data = np.random.default_rng(0).integers(1, 999, shape)
    if enhanced:
        write_enhanced(folder / "enhanced.dcm", data, affine, facts)
    else:
        write_series(folder, data, affine, facts)
    series = select_study(scan(folder)).series[0]
    return read_source(series)


def turned(axes, flips, spacing=(1.2, 0.9, 3.0), angles=(0.0, 0.0)):
    """Return an affine with axis k along `axes[k]` of the body, optionally flipped, then rotated by two angles."""
    affine = np.eye(4)
    affine[:3, :3] = 0
    for axis, (world, sign) in enumerate(zip(axes, flips, strict=True)):
        affine[world, axis] = sign * spacing[axis]
    a, b = angles
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_z = np.array([[np.cos(b), -np.sin(b), 0], [np.sin(b), np.cos(b), 0], [0, 0, 1]])
    affine[:3, :3] = about_z @ about_x @ affine[:3, :3]
    affine[:3, 3] = [31.5, -22.25, 7.75]
    return affine
