"""NIfTI files for training, read to the end of their gzip stream.

nibabel stops after the last voxel and so never compares the checksum: a flipped bit would be trained on.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
from isal import igzip
from monai.data import NibabelReader
from monai.data.utils import correct_nifti_header_if_necessary

from brats_mm.errors import VolumeError

_NIFTI2_HEADER = 540
_GZIP = b"\x1f\x8b"


def load_checked(path: Path) -> Any:
    """Load a file as nibabel does. A gzip stream is decompressed to its end and compared with its checksum.

    Raises:
        VolumeError: the stream is damaged or cut off, or the file cannot be read.
    """
    try:
        content = path.read_bytes()
        if not content.startswith(_GZIP):
            return nib.load(path)
        content = igzip.decompress(content)
        sizes = {int.from_bytes(content[:4], order) for order in ("little", "big")}
        kind: Any = nib.Nifti2Image if _NIFTI2_HEADER in sizes else nib.Nifti1Image
        return kind.from_bytes(content)
    except MemoryError:
        raise
    except Exception as error:  # (zlib, gzip, isal and nibabel raise a dozen types for a damaged file)
        message = f"{path} is cut off or damaged ({type(error).__name__}). Copy or convert it again."
        raise VolumeError(message) from error


class CheckedNibabelReader(NibabelReader):
    """MONAI's reader of NIfTI files, on `load_checked`."""

    def read(self, data: Sequence[Any] | Any, **_: Any) -> Any:
        """Read one file, or several as a list."""
        self.filenames = data if isinstance(data, list | tuple) else (data,)
        images = [correct_nifti_header_if_necessary(load_checked(Path(name))) for name in self.filenames]
        return images if len(images) > 1 else images[0]
