"""Convert a finished job's label map to the form that a viewer requests: tumour compartments, or bands of entropy.

The worker wrote these files, so they are trusted and can be read here.
"""

import tempfile
from dataclasses import dataclass
from enum import Enum
from io import SEEK_END, BytesIO
from pathlib import Path

import nibabel as nib
import numpy as np

from brats_mm.domain.entropy import binary_entropy
from brats_mm.domain.label_map import Labels
from brats_mm.domain.regions import Compartment, LabelConvention
from brats_mm.domain.volume import Array, Grid
from brats_mm.outputs.gzip_stream import to_fortran_bytes, write_gzip
from brats_mm.outputs.nifti import write_labels
from brats_mm.outputs.seg_nrrd import format_nrrd_geometry
from brats_mm_service.problems import Problem

BAND_SHARES = (0.95, 0.85, 0.70)
"""Probabilities whose binary entropy is the lower bound of the low, medium and high band."""

BAND_NATS: tuple[float, ...] = tuple(float(binary_entropy(np.array([share], np.float32))[0]) for share in BAND_SHARES)
"""0.199, 0.423 and 0.611 nats. The maximum is ln 4 = 1.386."""

_NRRD_TYPES = {
    "uint8": "unsigned char",
    "int16": "short",
    "uint16": "unsigned short",
    "int32": "int",
    "uint32": "unsigned int",
    "float32": "float",
}
EXTENSIONS = (".nii.gz", ".nii", ".nrrd", ".seg.nrrd")


class ViewerModel(str, Enum):
    """Models offered to viewers: two views of one result."""

    SEGMENTATION = "brats_mm"
    ENTROPY = "brats_mm_entropy"

    @property
    def labels(self) -> dict[str, int]:
        """Values of labels by name, 1 to 3 without gaps, because viewers number segments by position in this list."""
        if self is ViewerModel.ENTROPY:
            return {"low uncertainty": 1, "medium uncertainty": 2, "high uncertainty": 3}
        names = {
            # Names for which 3D Slicer and OHIF define colours.
            Compartment.NECROSIS: "necrosis",
            Compartment.OEDEMA: "edema",
            Compartment.ENHANCING: "enhancing tumor",
        }
        return {name: LabelConvention.BRATS2023.value_of(compartment) for compartment, name in names.items()}


@dataclass(frozen=True)
class LabelForm:
    """Requested form of a label map.

    Attributes:
        extension: one of `EXTENSIONS`.
        dtype: voxel type of an NRRD file. NIfTI files have uint8.
        compressed: whether an NRRD file's voxels are gzipped.
    """

    extension: str = ".nii.gz"
    dtype: str = "uint8"
    compressed: bool = True


@dataclass(frozen=True)
class LabelAnswer:
    """A label map as a file.

    Attributes:
        data: bytes of the file.
        centroids: value and voxel index of the centre by label. Empty labels are omitted.
    """

    data: bytes
    centroids: dict[str, list[float]]


def check_form(form: LabelForm) -> None:
    """Raise a problem if a label map cannot be written in that form."""
    if form.extension not in EXTENSIONS:
        message = f"The result format {form.extension[:20]!r} is not supported. Set result_extension to one of "
        raise Problem("bad-option", f"{message}{', '.join(EXTENSIONS)}.")
    if form.dtype not in _NRRD_TYPES:
        message = f"The result type {form.dtype[:20]!r} is not supported. Set result_dtype to one of "
        raise Problem("bad-option", f"{message}{', '.join(_NRRD_TYPES)}.")


def build_label_answer(result: Path, model: ViewerModel, form: LabelForm) -> LabelAnswer:
    """Convert a job's result to the label file that a viewer requested, on the grid of the input."""
    if model is ViewerModel.ENTROPY:
        image = nib.load(result / "entropy.nii.gz")
        labels = compute_entropy_bands(image.get_fdata(dtype=np.float32))
    else:
        image = nib.load(result / "segmentation.nii.gz")
        labels = np.asarray(image.dataobj, np.uint8)
    header = image.header
    grid = Grid(labels.shape, image.affine, sform_code=int(header["sform_code"]), qform_code=int(header["qform_code"]))
    return LabelAnswer(_encode_file(result, labels, grid, model, form), _compute_centroids(labels, model))


def compute_entropy_bands(entropy: Array) -> Labels:
    """Quantise entropy: 0 below the first of `BAND_NATS`, then 1, 2 and 3.

    Args:
        entropy: nats, any shape.
    """
    # Values are stored in steps of max/65535. Subtract half a step to keep a voxel at a bound in its band.
    return np.digitize(entropy, np.array(BAND_NATS) - 1e-5).astype(np.uint8)


def _encode_file(result: Path, labels: Labels, grid: Grid, model: ViewerModel, form: LabelForm) -> bytes:
    if form.extension == ".seg.nrrd" and model is ViewerModel.SEGMENTATION:
        return (result / "segmentation.seg.nrrd").read_bytes()
    if form.extension.endswith(".nrrd"):
        return encode_nrrd(labels, grid, form)
    if form.extension == ".nii.gz" and model is ViewerModel.SEGMENTATION:
        return (result / "segmentation.nii.gz").read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"labels{form.extension}"
        write_labels(path, labels, grid)
        return path.read_bytes()


def encode_nrrd(labels: Labels, grid: Grid, form: LabelForm) -> bytes:
    """Return a label map as an NRRD file, with voxels in the order of the grid, little-endian."""
    voxels = to_fortran_bytes(labels.astype(np.dtype(form.dtype).newbyteorder("<")))
    encoding = "gzip" if form.compressed else "raw"
    header = [*format_nrrd_geometry(grid, _NRRD_TYPES[form.dtype], encoding=encoding), "endian: little"]
    stream = BytesIO(("\n".join(header) + "\n\n").encode("ascii"))
    stream.seek(0, SEEK_END)
    if form.compressed:
        write_gzip(stream, voxels)
    else:
        stream.write(voxels)
    return stream.getvalue()


def _compute_centroids(labels: Labels, model: ViewerModel) -> dict[str, list[float]]:
    centroids = {}
    for name, value in model.labels.items():
        index = np.nonzero(labels == value)
        if len(index[0]):
            centroids[name] = [float(value), *(round(float(axis.mean()), 2) for axis in index)]
    return centroids
