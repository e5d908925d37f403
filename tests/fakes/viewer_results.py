"""Computed results in the service's format: a ball of three shells with known positions."""

import json

import nibabel as nib
import numpy as np

CENTRE = (32, 36, 28)
NECROSIS_MM, ENHANCING_MM, OEDEMA_MM = 6, 10, 16
UNCERTAIN_VOXEL = (20, 36, 28)
LN2, LN4 = float(np.log(2)), float(np.log(4))


def make_results(folder, affine, shape=(64, 72, 56), oedema_mm=OEDEMA_MM, **changes):
    """Write every result that the page reads, and return the folder. `changes` replace parts of the report."""
    folder.mkdir(parents=True)
    radius = np.sqrt(sum((axis - middle) ** 2 for axis, middle in zip(np.indices(shape), CENTRE, strict=True)))
    labels = np.select([radius < NECROSIS_MM, radius < ENHANCING_MM, radius < oedema_mm], [1, 3, 2], 0)
    write(folder / "segmentation.nii.gz", labels.astype(np.uint8), affine)
    for region, border in {"wt": OEDEMA_MM, "tc": ENHANCING_MM, "et": ENHANCING_MM}.items():
        probability = 1 / (1 + np.exp(radius - border))
        write(folder / f"probability_{region}.nii.gz", probability.astype(np.float32), affine)
        write(folder / f"entropy_{region}.nii.gz", binary_entropy(probability), affine)
    distance = np.sqrt(
        sum((axis - middle) ** 2 for axis, middle in zip(np.indices(shape), UNCERTAIN_VOXEL, strict=True))
    )
    entropy = np.where(distance < 4, 1.2, binary_entropy(1 / (1 + np.exp(radius - OEDEMA_MM))))
    write(folder / "entropy.nii.gz", entropy.astype(np.float32), affine)
    (folder / "report.json").write_text(json.dumps(report(affine) | changes))
    (folder / "importance.json").write_text(json.dumps(importance()))
    (folder / "preview.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (folder / "something-new.bin").write_bytes(bytes(3000))
    return folder


def write(path, values, affine):
    nib.Nifti1Image(values, affine).to_filename(path)


def binary_entropy(probability):
    safe = np.clip(probability, 1e-6, 1 - 1e-6)
    return (-safe * np.log(safe) - (1 - safe) * np.log(1 - safe)).astype(np.float32)


def place_of(voxel, affine):
    """Return the position of a voxel in millimetres."""
    return [float(value) for value in nib.affines.apply_affine(affine, voxel)]


def report(affine):
    regions = {"wt": ("whole tumour", 17.1, 14.2, 20.5), "tc": ("tumour core", 4.2, 3.1, 5.0)}
    regions["et"] = ("enhancing tumour", 3.3, 2.0, 4.4)
    return {
        "regions": {
            region: {"name": name, "volume_ml": ml, "volume_range_ml": [low, high], "mean_entropy_inside_nats": 0.21}
            for region, (name, ml, low, high) in regions.items()
        },
        "labels": {"ncr": 1, "ed": 2, "et": 3},
        "entropy_range_nats": {"region": LN2, "combined": LN4},
        "model": {"name": "made", "version": "1"},
        "run": {"device": "cpu", "seconds": {}},
        "warnings": ["Segmented without T1, T2."],
        "uncertain_regions": [area(1, "wt", UNCERTAIN_VOXEL, affine), area(2, "et", CENTRE, affine)],
        "expected_performance": {
            "meaning": "Dice",
            "sequences": "t1ce+flair",
            "cases": 10,
            "dice": {"wt": {"mean": 0.78}, "tc": {"mean": 0.66}, "et": {"mean": 0.55}},
            "dice_of_all_four": {"wt": {"mean": 0.8}, "tc": {"mean": 0.68}, "et": {"mean": 0.57}},
        },
    }


def area(rank, region, voxel, affine):
    return {
        "rank": rank,
        "region": region,
        "position_mm_ras": place_of(voxel, affine),
        "voxel": list(voxel),
        "volume_ml": 0.27,
        "mean_entropy_nats": 0.66,
        "peak_entropy_nats": 0.69,
    }


def importance():
    weights = {"t1": 0.0, "t1ce": 0.6, "t2": 0.0, "flair": 0.4}
    return {
        "meaning": "Share",
        "weights": {name: dict.fromkeys(("wt", "tc", "et"), share) for name, share in weights.items()},
    }
