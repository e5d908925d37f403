"""Recognise images by file suffix, and explain why other files are not read."""

NIFTI_SUFFIXES = (".nii.gz", ".nii")
PAIR_SUFFIXES = {".img": ".hdr", ".img.gz": ".hdr.gz"}
"""Suffix of the voxels of an Analyze or NIfTI pair -> suffix of its header."""

IMAGE_SUFFIXES = (
    *NIFTI_SUFFIXES,
    ".mha",
    ".mhd",
    ".nrrd",
    ".nrd",
    ".nhdr",
    ".mgz",
    ".mgh",
    *PAIR_SUFFIXES,
    *PAIR_SUFFIXES.values(),
)
"""Files that `io.volume` reads."""

MAX_VOLUMES = 2000
"""Maximum number of volume files in an archive or folder. A case has far fewer."""

VOXEL_SUFFIXES = (".raw", ".zraw", ".raw.gz", ".raw.bz2", ".bin", ".dat")
"""Suffixes of files with voxels only. An .mhd or .nhdr in the same folder refers to them."""

_CONVERT = "convert it to .nii.gz"
_UNREADABLE = {
    (".head", ".brik", ".brik.gz"): f"it is an AFNI file: {_CONVERT}, for example with 3dAFNItoNIFTI",
    (
        ".nii.bz2",
        ".nii.xz",
        ".nii.zst",
        ".nii.zip",
    ): "its compression is not supported: compress it with gzip (.nii.gz)",
    (".mnc", ".mnc2"): f"it is a MINC file: {_CONVERT}, for example with mnc2nii",
    (
        *(".par", ".rec", ".v", ".gipl", ".gipl.gz", ".vtk", ".vti", ".fdf", ".spr", ".hv", ".cub", ".nrrd.gz", ".mat"),
        *(".mif", ".mif.gz", ".mih", ".nia", ".nia.gz", ".vmr", ".npy", ".npz", ".h5", ".hdf5", ".pt", ".pth", ".pkl"),
    ): f"its format is not supported: {_CONVERT}",
    (".part", ".partial", ".filepart", ".crdownload", ".download", ".aria2"): (
        "its download is incomplete: download it again"
    ),
    (".zip", ".tar", ".tar.gz", ".tgz", ".7z", ".rar"): "it is an archive: unpack it",
    (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp"): "it is a picture, not a volume",
    VOXEL_SUFFIXES: "it contains voxels without a header",
}


def find_image_suffix(name: str) -> str | None:
    """Return the suffix of a readable file (`.nii.gz`, `.mha`, ...) in lower case, or None."""
    return next((suffix for suffix in IMAGE_SUFFIXES if name.lower().endswith(suffix)), None)


def strip_image_suffix(name: str) -> str:
    """Return a file name without the suffix of an image."""
    return name[: -len(find_image_suffix(name) or "")] if find_image_suffix(name) else name


def holds_voxels(name: str) -> bool:
    """Return whether the name of a file marks voxels without a header."""
    return name.lower().endswith(VOXEL_SUFFIXES)


def explain_known_format(name: str) -> str | None:
    """Return why an image of another format is not read, or None for other files."""
    lower = name.lower()
    return next((reason for suffixes, reason in _UNREADABLE.items() if lower.endswith(suffixes)), None)


def explain_unreadable(name: str) -> str:
    """Return why a file without an image suffix is not read, with advice."""
    return (
        explain_known_format(name)
        or "it is not a volume file (.nii.gz, .nii, .mha, .mhd, .nrrd, .nhdr, .mgz, .img/.hdr)"
    )
