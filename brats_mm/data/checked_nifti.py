"""Image files for training. NIfTI files are read to the end of their gzip stream.

nibabel stops after the last voxel and never compares the checksum, so a flipped bit would go unnoticed.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from isal import igzip
from monai.data import NibabelReader
from monai.data.utils import correct_nifti_header_if_necessary

from brats_mm.data.nifti_units import convert_image_to_mm
from brats_mm.domain.volume import build_ras_affine
from brats_mm.errors import VolumeError

_NIFTI2_HEADER = 540
ITK_SUFFIXES = (".mha", ".nrrd")
"""Formats with header and voxels in one file that SimpleITK reads."""

_GZIP = b"\x1f\x8b"


def load_checked(path: Path) -> Any:
    """Load a file as nibabel does, with lengths in millimetres.

    A gzip stream is decompressed to its end and compared with its checksum.
    MetaImage and NRRD files become NIfTI images in memory.

    Raises:
        VolumeError: the stream is damaged or truncated, or the file cannot be read.
    """
    try:
        if path.name.lower().endswith(ITK_SUFFIXES):
            return _load_itk(path)
        content = path.read_bytes()
        if not content.startswith(_GZIP):
            return convert_image_to_mm(nib.load(path))
        content = igzip.decompress(content)
        sizes = {int.from_bytes(content[:4], order) for order in ("little", "big")}
        kind: Any = nib.Nifti2Image if _NIFTI2_HEADER in sizes else nib.Nifti1Image
        return convert_image_to_mm(kind.from_bytes(content))
    except (MemoryError, VolumeError):
        raise
    except Exception as error:  # (zlib, gzip, isal and nibabel raise a dozen types for a damaged file)
        raise VolumeError(
            f"{path} is truncated or damaged ({type(error).__name__}). Copy or convert it again."
        ) from error


def _load_itk(path: Path) -> Any:
    import SimpleITK

    image = SimpleITK.ReadImage(str(path))
    if image.GetNumberOfComponentsPerPixel() != 1:
        raise VolumeError(f"{path} has several values per voxel. Convert it to one file per sequence.")
    voxels = SimpleITK.GetArrayFromImage(image).transpose()
    directions = np.reshape(image.GetDirection(), (image.GetDimension(), -1))[:3, :3]
    affine = build_ras_affine(directions * image.GetSpacing()[:3], image.GetOrigin()[:3])
    return nib.Nifti1Image(voxels.astype(np.int32) if voxels.dtype.kind in "iu" else voxels, affine)


class CheckedNibabelReader(NibabelReader):
    """MONAI image reader based on `load_checked`."""

    def verify_suffix(self, filename: Sequence[Any] | Any) -> bool:
        """Return whether all files have a suffix that `load_checked` reads."""
        names = filename if isinstance(filename, list | tuple) else (filename,)
        return all(
            str(name).lower().endswith(ITK_SUFFIXES) or NibabelReader.verify_suffix(self, name) for name in names
        )

    def read(self, data: Sequence[Any] | Any, **_: Any) -> Any:
        """Read one file, or several as a list."""
        self.filenames = data if isinstance(data, list | tuple) else (data,)
        images = [correct_nifti_header_if_necessary(load_checked(Path(name))) for name in self.filenames]
        return images if len(images) > 1 else images[0]
