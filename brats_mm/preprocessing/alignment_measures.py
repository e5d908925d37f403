"""Measure the quality of a registration independently of its optimiser, on coarse samples in plain arrays."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from nibabel.affines import apply_affine
from scipy import ndimage

from brats_mm.domain.label_map import Mask
from brats_mm.domain.resample import resample
from brats_mm.domain.volume import Array, Volume
from brats_mm.preprocessing.head import compute_head_mask, downsample
from brats_mm.preprocessing.itk_volume import make_orthogonal_volume

MAX_ROTATION_DEG = 30.0
MAX_SHIFT_MM = 60.0
"""Largest plausible rotation and shift of the head between the sequences of one session."""

MIN_COVERED = 0.5
"""Fraction of the reference's head that the other sequence must show."""

MIN_HEAD_OVERLAP = 0.85
MIN_INFORMATION_NATS = 0.2
MIN_EDGE_AGREEMENT = 0.4
MIN_PEAK = 0.3


@dataclass(frozen=True)
class Alignment:
    """Measures of a registration.

    Attributes:
        start: initialisation of the search: the header's geometry or the centres of the heads.
        rotation_deg: rotation angle.
        shift_mm: shift of the centre of the head.
        covered: fraction of the reference's head inside the other's field of view.
        information_before_nats, information_nats: mutual information inside the head, before and after registration.
        peak: smallest loss of mutual information when the transform is perturbed by 10 mm or 10 degrees. 0 or less if a
            perturbation changes nothing or helps.
        head_overlap: Dice of the two head masks.
        edge_agreement: correlation of the gradient magnitudes inside the head, -1 to 1.
    """

    start: str
    rotation_deg: float
    shift_mm: float
    covered: float
    information_before_nats: float
    information_nats: float
    peak: float
    head_overlap: float
    edge_agreement: float


def find_registration_warnings(alignment: Alignment) -> tuple[str, ...]:
    """Return the reasons to check a registration. Empty if there are none.

    No single measure proves that a registration is correct. Each threshold separates good registrations from
    deliberately perturbed ones. `docs/raw_scans.md` has the figures.
    """
    warnings = []
    if alignment.covered < MIN_COVERED:
        warnings.append(f"it covers only {alignment.covered:.0%} of the head")
    if alignment.head_overlap < MIN_HEAD_OVERLAP:
        warnings.append(f"the heads overlap only with a Dice of {alignment.head_overlap:.2f}")
    if alignment.information_nats < MIN_INFORMATION_NATS:
        warnings.append(f"the mutual information is low ({alignment.information_nats:.2f} nats)")
    if alignment.information_nats < alignment.information_before_nats:
        warnings.append("the mutual information is lower than with the alignment of the headers")
    if alignment.peak < MIN_PEAK:
        warnings.append("a shift by 10 mm or a rotation by 10 degrees fits about as well")
    if alignment.edge_agreement < MIN_EDGE_AGREEMENT:
        warnings.append(f"the edges have a correlation of only {alignment.edge_agreement:.2f}")
    if alignment.rotation_deg > MAX_ROTATION_DEG or alignment.shift_mm > MAX_SHIFT_MM:
        warnings.append(f"it moves the head by {alignment.shift_mm:.0f} mm and {alignment.rotation_deg:.0f} degrees")
    return tuple(warnings)


FINE_MM = 2.0
BINS = 32
PROBE_MM, PROBE_DEG = 10.0, 10.0

Matrix = npt.NDArray[np.float64]
Points = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Side:
    """One of the two images of a registration, prepared for the search and its checks.

    Attributes:
        fine: image at 2 mm, with the brightest voxels clipped.
        coarse: image at 4 mm.
        head: head mask at 4 mm.
    """

    fine: Volume
    coarse: Volume
    head: Mask

    @cached_property
    def points_mm(self) -> Points:
        """Centres of the head's voxels at 4 mm, (n, 3), in millimetres."""
        return np.asarray(apply_affine(self.coarse.grid.affine, np.argwhere(self.head)))

    @cached_property
    def centre_mm(self) -> npt.NDArray[np.float64]:
        """Centre of the head in millimetres."""
        return np.asarray(self.points_mm.mean(axis=0))

    @cached_property
    def near(self) -> Mask:
        """Mask of the head with a margin at 2 mm, in which the images are compared."""
        wide = ndimage.binary_dilation(self.head, iterations=2).astype(np.float32)
        return np.asarray(resample(wide, self.fine.grid.shape) > 0.5)

    @cached_property
    def gradients(self) -> Array:
        """Gradient magnitude of the coarse image."""
        return np.asarray(ndimage.gaussian_gradient_magnitude(self.coarse.data, 0.8), np.float32)

    def sample(self, field: npt.NDArray[np.generic], points: Points) -> tuple[npt.NDArray[np.float64], Mask]:
        """Sample a coarse field at points in millimetres, and return which points are in the field of view."""
        index = apply_affine(np.linalg.inv(self.coarse.grid.affine), points)
        inside = np.all((index >= -0.5) & (index <= np.array(field.shape) - 0.5), axis=1)
        values = ndimage.map_coordinates(np.asarray(field, np.float64), index.T, order=1, mode="nearest")
        return values, inside


def prepare_side(volume: Volume) -> Side:
    """Prepare a volume for registration or measurement."""
    volume = make_orthogonal_volume(volume)
    low, high = np.percentile(volume.data[::2, ::2, ::2], (0.1, 99.5))
    clipped = Volume(np.clip(volume.data, low, max(high, low + 1e-6)).astype(np.float32), volume.grid)
    small = downsample(clipped)
    fine_mm = max(FINE_MM, min(volume.grid.spacing_mm))  # finer than the scan would add cost, but no information
    return Side(downsample(clipped, fine_mm), small, compute_head_mask(small.data))


def measure(fixed: Side, moving: Side, matrix: Matrix, *, start: str) -> Alignment:
    """Measure a transform from points of `fixed` to points of `moving`.

    Args:
        fixed: reference image.
        moving: registered image.
        matrix: (4, 4) from points of `fixed` to points of `moving`, in RAS+ millimetres.
        start: initialisation of the search, for the record.
    """
    rotation = np.degrees(np.arccos(np.clip((np.trace(matrix[:3, :3]) - 1) / 2, -1, 1)))
    centre = fixed.centre_mm
    _, inside = moving.sample(moving.coarse.data, apply_affine(matrix, fixed.points_mm))
    information = _measure_information(fixed, moving, matrix)
    before = _measure_information(fixed, moving, np.eye(4))
    return Alignment(
        start=start,
        rotation_deg=float(rotation),
        shift_mm=float(np.linalg.norm(apply_affine(matrix, centre[None])[0] - centre)),
        covered=float(inside.mean()),
        information_before_nats=before,
        information_nats=information,
        peak=_measure_peak(fixed, moving, matrix, information),
        head_overlap=_measure_head_overlap(fixed, moving, matrix),
        edge_agreement=_measure_edge_agreement(fixed, moving, matrix),
    )


def _measure_information(fixed: Side, moving: Side, matrix: Matrix) -> float:
    """Return the mutual information inside the reference's head in nats.

    Points outside the moving image's field of view contribute 0.
    """
    values, inside = moving.sample(moving.coarse.data, apply_affine(matrix, fixed.points_mm))
    if np.count_nonzero(inside) < BINS:
        return 0.0
    joint, _, _ = np.histogram2d(fixed.coarse.data[fixed.head][inside], values[inside], BINS)
    joint /= joint.sum()
    independent = joint.sum(axis=1, keepdims=True) @ joint.sum(axis=0, keepdims=True)
    occupied = joint > 0
    return float((joint[occupied] * np.log(joint[occupied] / independent[occupied])).sum() * inside.mean())


def _measure_peak(fixed: Side, moving: Side, matrix: Matrix, information: float) -> float:
    """Return the smallest relative loss of mutual information when the transform is shifted."""
    if information <= 0:
        return 0.0
    probes = _build_probes(fixed.centre_mm)
    return 1 - max(_measure_information(fixed, moving, matrix @ probe) for probe in probes) / information


def _build_probes(centre_mm: npt.NDArray[np.float64]) -> list[Matrix]:
    probes = []
    for axis in range(3):
        for sign in (-1, 1):
            shift = np.eye(4)
            shift[axis, 3] = sign * PROBE_MM
            angle = np.deg2rad(sign * PROBE_DEG)
            turn = np.eye(4)
            i, j = (axis + 1) % 3, (axis + 2) % 3
            turn[i, i] = turn[j, j] = np.cos(angle)
            turn[i, j], turn[j, i] = -np.sin(angle), np.sin(angle)
            turn[:3, 3] = centre_mm - turn[:3, :3] @ centre_mm
            probes += [shift, turn]
    return probes


def _measure_head_overlap(fixed: Side, moving: Side, matrix: Matrix) -> float:
    """Return the Dice of the heads inside both fields of view."""
    index = np.indices(fixed.coarse.grid.shape).reshape(3, -1).T
    values, inside = moving.sample(moving.head, apply_affine(matrix, apply_affine(fixed.coarse.grid.affine, index)))
    fixed_head, moving_head = fixed.head.ravel() & inside, (values > 0.5) & inside
    total = int(np.count_nonzero(fixed_head)) + int(np.count_nonzero(moving_head))
    return 2 * int(np.count_nonzero(fixed_head & moving_head)) / max(1, total)


def _measure_edge_agreement(fixed: Side, moving: Side, matrix: Matrix) -> float:
    values, inside = moving.sample(moving.gradients, apply_affine(matrix, fixed.points_mm))
    fixed_edges, moving_edges = fixed.gradients[fixed.head][inside], values[inside]
    if fixed_edges.size < BINS or fixed_edges.std() == 0 or moving_edges.std() == 0:
        return 0.0
    return float(np.corrcoef(fixed_edges, moving_edges)[0, 1])
