"""Rigid registration of two sequences with SimpleITK: Mattes mutual information, coarse to fine.

The search starts from the headers, because nearly all images are of one session. If the result is doubtful, it starts
again from the centres of the heads. Sampling is seeded and summed in one thread, so results are reproducible.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk  # noqa: N813 (the usual abbreviation)
from nibabel.affines import apply_affine

from brats_mm.domain.volume import Volume
from brats_mm.preprocessing.alignment_measures import Alignment, Side, find_registration_warnings, measure, prepare_side
from brats_mm.preprocessing.itk_volume import build_transform, extract_matrix, to_itk

BINS = 32
SEED = 20
MAX_UNMOVED_MM = 0.3
"""Smaller movements of a head on the same grid are skipped, because interpolation would lose more than it gains."""

MAX_UNMOVED_STRIPPED_MM = 1.0
"""Smaller movements of skull-stripped images are skipped, because they were already registered, and better."""

_SHRINK, _SMOOTH_MM, _SAMPLED = (3, 2, 1), (6.0, 3.0, 1.0), (0.5, 0.2, 0.06)
_ITERATIONS = 120

Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Registered:
    """A transform with its measures.

    Attributes:
        matrix: (4, 4) from points of the reference to points of the moving image, in RAS+ millimetres.
        alignment: measures of the registration.
        doubts: reasons to check it.
    """

    matrix: Matrix
    alignment: Alignment
    doubts: tuple[str, ...]


def register(reference: Volume | Side, moving: Volume, *, still_mm: float = 0.0) -> Registered:
    """Register `moving` to `reference`.

    Args:
        reference: fixed image, or its `prepare_side`, which several registrations can share.
        moving: image to register, of any contrast.
        still_mm: if no point of the head moves further than this, the header's position is kept.

    Returns:
        The best transform, with doubts if it may be wrong.
    """
    fixed = reference if isinstance(reference, Side) else prepare_side(reference)
    moving_side = prepare_side(moving)
    best = _try(fixed, moving_side, np.eye(4), "header")
    if best.doubts:
        second = _try(fixed, moving_side, _align_centres(fixed, moving_side), "centres")
        if _rank(second) > _rank(best):
            best = second
    unmoved = _measure_registered(fixed, moving_side, np.eye(4), "header")
    if _rank(unmoved) > _rank(best) or _measure_movement_mm(best.matrix, fixed) < still_mm:
        return unmoved
    return best


def keep_in_place(fixed: Side, moving: Volume) -> Registered:
    """Keep `moving` where its header places it, and measure its alignment to `fixed`."""
    return Registered(np.eye(4), measure(fixed, prepare_side(moving), np.eye(4), start="header"), ())


def _rank(registered: Registered) -> tuple[int, float]:
    return -len(registered.doubts), registered.alignment.information_nats


def _try(fixed: Side, moving: Side, start: Matrix, name: str) -> Registered:
    return _measure_registered(fixed, moving, _search(fixed, moving, start), name)


def _measure_registered(fixed: Side, moving: Side, matrix: Matrix, name: str) -> Registered:
    alignment = measure(fixed, moving, matrix, start=name)
    return Registered(matrix, alignment, find_registration_warnings(alignment))


def _align_centres(fixed: Side, moving: Side) -> Matrix:
    start = np.eye(4)
    start[:3, 3] = moving.centre_mm - fixed.centre_mm
    return start


def _measure_movement_mm(matrix: Matrix, fixed: Side) -> float:
    """Return the largest displacement of any point of the head."""
    return float(np.linalg.norm(apply_affine(matrix, fixed.points_mm) - fixed.points_mm, axis=1).max())


def _search(fixed: Side, moving: Side, start: Matrix) -> Matrix:
    rigid = sitk.Euler3DTransform()
    rigid.SetCenter((np.array([-1, -1, 1]) * fixed.centre_mm).tolist())
    method = sitk.ImageRegistrationMethod()
    method.SetNumberOfThreads(1)
    method.SetNumberOfWorkUnits(1)
    method.SetMetricAsMattesMutualInformation(numberOfHistogramBins=BINS)
    method.SetMetricFixedMask(to_itk(fixed.near.astype(np.uint8), fixed.fine.grid))
    method.SetMetricSamplingStrategy(method.RANDOM)
    method.SetMetricSamplingPercentagePerLevel(_SAMPLED, SEED)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetShrinkFactorsPerLevel(_SHRINK)
    method.SetSmoothingSigmasPerLevel(_SMOOTH_MM)
    method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOn()
    method.SetOptimizerAsRegularStepGradientDescent(
        learningRate=2.0, minStep=0.01, numberOfIterations=_ITERATIONS, relaxationFactor=0.6
    )
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetMovingInitialTransform(build_transform(start))
    method.SetInitialTransform(rigid, inPlace=True)
    try:
        method.Execute(*(to_itk(side.fine.data, side.fine.grid) for side in (fixed, moving)))
    except RuntimeError:  # the images do not overlap or are constant: the measures below will show it
        return start
    return np.asarray(start @ extract_matrix(rigid))
