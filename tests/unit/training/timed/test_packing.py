"""Packed cases: 8-bit grey levels, one label value per voxel, crop centres by tissue."""

import nibabel as nib
import numpy as np
import pytest
import torch

from brats_mm.training.timed.packing import load_packed, pack_cases, unpack_image


@pytest.fixture
def item(tmp_path):
    rng = np.random.default_rng(0)
    folder = tmp_path / "case"
    folder.mkdir()
    brain = np.zeros((40, 44, 36), bool)
    brain[4:36, 5:40, 6:30] = True
    files = {}
    for name in ("t1ce", "flair"):
        files[name] = str(folder / f"case-{name}.nii.gz")
        nib.save(
            nib.Nifti1Image((rng.uniform(50, 200, brain.shape) * brain).astype(np.float32), np.eye(4)), files[name]
        )
    labels = np.zeros(brain.shape, np.uint8)
    labels[10:20, 10:20, 10:20] = 2
    labels[12:16, 12:16, 12:16] = 1
    labels[12:14, 12:14, 12:14] = 4
    nib.save(nib.Nifti1Image(labels, np.eye(4)), folder / "case-seg.nii.gz")
    return {"name": "case", "image": files, "label": str(folder / "case-seg.nii.gz"), "label_scheme": "brats2018"}


@pytest.fixture
def packed(item, tmp_path):
    return load_packed(pack_cases([item], tmp_path / "packed")[0])


def test_packed_case_is_brain_box_with_available_sequences(packed):
    case = packed
    assert case.image.shape == (4, 32, 35, 24)
    assert case.available.tolist() == [False, True, False, True]
    assert not case.image[0].any()
    assert (case.image[1] > 0).all()


def test_labels_are_ordered_by_nesting(packed):
    case = packed
    assert [int((case.labels >= value).sum()) for value in (1, 2, 3)] == [1000, 64, 8]


def test_unpacked_values_match_z_scores_to_half_a_grey_level(packed):
    case = packed
    image = unpack_image(torch.from_numpy(case.image), case.scale, case.offset)
    assert not image[0].any()
    for channel in (1, 3):
        assert abs(float(image[channel].mean())) < 0.01
        assert float(image[channel].std()) == pytest.approx(1, abs=0.01)


def test_centres_are_in_their_tissue(packed):
    case = packed
    flat = case.labels.ravel()
    assert [set(flat[centres].tolist()) for centres in case.centres] == [{0}, {1}, {2}, {3}]
    assert [len(centres) for centres in case.centres[1:]] == [936, 56, 8]


def test_listed_orientation_reorients_case_and_is_packed_separately(item, packed, tmp_path):
    (path,) = pack_cases([{**item, "orientation": "RPS"}], tmp_path / "packed")
    turned = load_packed(path)
    assert np.array_equal(turned.image, packed.image[:, :, ::-1])
    assert np.array_equal(turned.labels, packed.labels[:, ::-1])


def test_changed_label_map_is_packed_again(item, packed, tmp_path):
    nib.save(nib.Nifti1Image(np.zeros((40, 44, 36), np.uint8), np.eye(4)), item["label"])
    (path,) = pack_cases([item], tmp_path / "packed")
    assert packed.labels.any()
    assert not load_packed(path).labels.any()


def test_cases_of_one_name_are_packed_separately(item, tmp_path):
    other = {**item, "image": {"flair": item["image"]["flair"]}}
    paths = pack_cases([item, other], tmp_path / "packed")
    assert [load_packed(path).available.sum() for path in paths] == [2, 1]


def test_unchanged_case_is_packed_once(item, tmp_path):
    first = pack_cases([item], tmp_path / "packed")
    assert pack_cases([{**item, "frequency": 0.1}], tmp_path / "packed") == first
    assert len(list((tmp_path / "packed").iterdir())) == 1


def test_case_without_labels_has_brain_centres_only(item, tmp_path):
    (path,) = pack_cases([{key: item[key] for key in ("name", "image")}], tmp_path / "unlabelled")
    case = load_packed(path)
    assert not case.labels.any()
    assert [len(centres) > 0 for centres in case.centres] == [True, False, False, False]
