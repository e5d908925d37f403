"""Small separate components are removed from the labels, and their entropy is kept."""

import pytest
import torch

from brats_mm.domain.regions import Region
from brats_mm.inference.small_lesions import drop_small_lesions

WT, TC, ET = Region.WT.channel, Region.TC.channel, Region.ET.channel
MM3 = 0.001


def blank():
    return torch.full((3, 40, 40, 40), -5.0)


def test_small_second_component_is_removed_and_keeps_entropy():
    logits = blank()
    logits[WT, 2:12, 2:12, 2:12] = 3.0
    logits[WT, 30:35, 30:35, 30:35] = 2.0  # 125 mm3
    result = drop_small_lesions(logits, MM3)
    assert (result[WT] >= 0).sum() == 1000
    assert result[WT, 32, 32, 32] == -2.0
    assert torch.equal(result.abs(), logits.abs())


def test_limit_is_a_volume_not_a_number_of_voxels():
    logits = blank()
    logits[WT, 2:12, 2:12, 2:12] = 3.0
    logits[WT, 30:35, 30:35, 30:35] = 2.0
    assert torch.equal(drop_small_lesions(logits, 8 * MM3), logits)


def test_largest_component_is_kept_whatever_its_size():
    logits = blank()
    logits[WT, 5, 5, 5:8] = 1.0
    logits[WT, 30, 30, 30:32] = 1.0
    result = drop_small_lesions(logits, MM3)
    assert torch.nonzero(result[WT] >= 0).tolist() == [[5, 5, 5], [5, 5, 6], [5, 5, 7]]


def test_corners_connect_voxels():
    logits = blank()
    logits[WT, 2:12, 2:12, 2:12] = 3.0
    logits[WT, 12, 12, 12] = 3.0
    assert torch.equal(drop_small_lesions(logits, MM3), logits)


def test_removed_outer_component_removes_its_inner_ones():
    logits = blank()
    logits[:, 2:12, 2:12, 2:12] = 3.0
    logits[WT, 12:20, 2:12, 2:12] = 3.0
    logits[ET, 18, 5, 5] = 2.0  # a speck of enhancement inside the whole tumour, separate from the core
    logits[:, 30:33, 30:33, 30:33] = 1.0  # a small lesion with all regions
    result = drop_small_lesions(logits, MM3)
    assert result[WT, 18, 5, 5] == 3.0
    assert result[ET, 18, 5, 5] == -2.0
    assert result[:, 31, 31, 31].tolist() == [-1.0, -1.0, -1.0]
    assert [int((channel >= 0).sum()) for channel in result] == pytest.approx([1800, 1000, 1000])


def test_logit_of_zero_is_outside_after_removal():
    logits = blank()
    logits[WT, 2:12, 2:12, 2:12] = 3.0
    logits[WT, 30, 30, 30] = 0.0
    assert drop_small_lesions(logits, MM3)[WT, 30, 30, 30] < 0


def test_input_is_unchanged_and_returned_when_nothing_is_removed():
    logits = blank()
    assert drop_small_lesions(logits, MM3) is logits
    logits[WT, 2:12, 2:12, 2:12] = 3.0
    logits[WT, 30, 30, 30] = 3.0
    before = logits.clone()
    drop_small_lesions(logits, MM3)
    assert torch.equal(logits, before)
