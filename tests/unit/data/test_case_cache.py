"""Cases are prepared once, in memory or on disk, and again after a change."""

import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data.utils import set_rnd
from monai.transforms import Compose, NormalizeIntensityd, RandScaleIntensityd, SelectItemsd, SpatialCropd

from brats_mm.data.case_cache import CasesOnDisk, PreparedCases, cache_cases, hash_chain
from brats_mm.data.transforms import LabelsToRegionsd, LoadSequencesd, ToSpacingd
from brats_mm.data.transplant import RandTransplantTumourd


def _items(root: Path, count: int = 3) -> list[dict[str, object]]:
    items: list[dict[str, object]] = []
    for number in range(count):
        values = np.random.RandomState(number).rand(8, 8, 8).astype(np.float32) + 1
        labels = np.zeros((8, 8, 8), np.uint8)
        labels[2:5, 2:5, 2:5] = 3
        paths = {"t1": root / f"{number}-t1.nii.gz", "label": root / f"{number}-seg.nii.gz"}
        nib.save(nib.Nifti1Image(values, np.eye(4)), paths["t1"])
        nib.save(nib.Nifti1Image(labels, np.eye(4)), paths["label"])
        items.append({"name": f"case {number}", "image": {"t1": str(paths["t1"])}, "label": str(paths["label"])})
    return items


def _chain(*, spacing_mm: float = 1.0) -> Compose:
    return Compose(
        [
            LoadSequencesd(),
            NormalizeIntensityd("image", nonzero=True, channel_wise=True),
            LabelsToRegionsd(),
            ToSpacingd(spacing_mm=spacing_mm),
            Compose([RandTransplantTumourd(0.5), RandScaleIntensityd("image", factors=0.5, prob=1.0)]),
            SelectItemsd(("image", "label", "name")),
        ]
    )


def _spoil(items: list[dict[str, object]]) -> None:
    """Make every file unreadable, with the same size and modification time."""
    for item in items:
        for path in (*item["image"].values(), item["label"]):  # type: ignore[attr-defined]
            before = Path(path).stat()
            Path(path).write_bytes(b"\0" * before.st_size)
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_second_start_reads_no_image(tmp_path: Path) -> None:
    items = _items(tmp_path)
    first = [case["label"] for case in cache_cases(items, _chain(), cache_dir=tmp_path / "cache")]
    _spoil(items)
    second = [case["label"] for case in cache_cases(items, _chain(), cache_dir=tmp_path / "cache")]

    assert all(torch.equal(torch.as_tensor(one), torch.as_tensor(two)) for one, two in zip(first, second, strict=True))
    with pytest.raises(Exception, match="LoadSequencesd"):
        cache_cases(items, _chain())


def test_other_voxel_size_is_prepared_again(tmp_path: Path) -> None:
    items = _items(tmp_path, 1)
    cache_cases(items, _chain(), cache_dir=tmp_path / "cache")[0]
    coarse = cache_cases(items, _chain(spacing_mm=2.0), cache_dir=tmp_path / "cache")[0]

    assert coarse["image"].shape == (4, 4, 4, 4)
    assert len(list((tmp_path / "cache").glob("*.pt"))) == 2


def test_changed_file_is_prepared_again(tmp_path: Path) -> None:
    items = _items(tmp_path, 1)
    cache_cases(items, _chain(), cache_dir=tmp_path / "cache")[0]
    nib.save(nib.Nifti1Image(np.zeros((8, 8, 8), np.uint8), np.eye(4)), items[0]["label"])
    again = cache_cases(items, _chain(), cache_dir=tmp_path / "cache")[0]

    assert int(torch.as_tensor(again["label"]).sum()) == 0


def test_file_of_cropped_case_holds_only_the_crop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    item = {"image": torch.rand(1, 64, 64, 64)}  # 1 MiB
    chain = Compose([SpatialCropd("image", roi_start=(0, 0, 0), roi_end=(8, 8, 8)), RandScaleIntensityd("image", 0.5)])
    monkeypatch.setattr("brats_mm.data.case_cache.hash_item", lambda item: b"one")
    assert CasesOnDisk([item], chain, tmp_path / "cache")[0]["image"].shape == (1, 8, 8, 8)
    (file,) = (tmp_path / "cache").iterdir()
    assert file.stat().st_size < 10_000


def test_damaged_cache_file_is_recreated(tmp_path: Path) -> None:
    items = _items(tmp_path, 1)
    cache_cases(items, _chain(), cache_dir=tmp_path / "cache")[0]
    (kept,) = (tmp_path / "cache").glob("*.pt")
    kept.write_bytes(kept.read_bytes()[: kept.stat().st_size // 2])

    assert cache_cases(items, _chain(), cache_dir=tmp_path / "cache")[0]["image"].shape == (4, 8, 8, 8)


@pytest.mark.parametrize("on_disk", [False, True])
def test_random_part_is_redrawn_and_repeats_with_seed(tmp_path: Path, on_disk: bool) -> None:
    chain = _chain()
    cases = cache_cases(_items(tmp_path), chain, cache_dir=tmp_path / "cache" if on_disk else None)
    drawn = []
    for seed in (1, 1, 2):
        set_rnd(chain, seed)
        drawn.append(torch.as_tensor(cases[0]["image"]).clone())

    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


@pytest.mark.parametrize(("settings", "count"), [({}, 3), ({"cache_rate": 0.34}, 1), ({"cache_rate": 0.0}, 3)])
def test_transplanted_tumours_come_from_prepared_cases(tmp_path: Path, settings: dict[str, float], count: int) -> None:
    chain = _chain()
    cases = cache_cases(_items(tmp_path), chain, **settings)  # type: ignore[arg-type]
    donors = PreparedCases(cases)

    assert len(donors) == count
    assert donors[0]["label"].shape == (3, 8, 8, 8)
    assert chain.transforms[4].transforms[0].donors is not None


def test_fingerprint_depends_on_settings_only() -> None:
    one, same, other = (_chain(spacing_mm=step).transforms[:4] for step in (1.0, 1.0, 2.0))
    assert hash_chain(one) == hash_chain(same) != hash_chain(other)
