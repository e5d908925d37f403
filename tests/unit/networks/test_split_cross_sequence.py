"""Two cross-sequence experts, for T1ce combined with other sequences and for all other subsets."""

import pytest
import torch

from brats_mm.domain.availability import SUBSETS, to_flags
from brats_mm.networks.case_gate import CaseGate
from brats_mm.networks.cross_mixture import CrossSequenceMixture
from brats_mm.networks.cross_sequence import CrossSequenceExpert
from brats_mm.networks.offset import subtract_from_logits
from brats_mm.networks.presets import cross_sequence
from brats_mm.networks.split_cross_sequence import SplitCrossSequenceExpert, is_split, split
from brats_mm.networks.subvoxel import SubvoxelExpert

SMALL = (2, 3, 4)
T1CE_AND_T2 = (False, True, True, False)
T1_AND_T2 = (True, False, True, False)
T1CE_ALONE = (False, True, False, False)


@pytest.fixture
def pair():
    torch.manual_seed(0)
    return SplitCrossSequenceExpert(CrossSequenceExpert(SMALL), CrossSequenceExpert(SMALL)).eval()


def images(count):
    return torch.randn(count, 4, 16, 16, 16, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
@pytest.mark.parametrize(
    ("view", "name"), [(T1CE_AND_T2, "t1ce_combined"), (T1_AND_T2, "others"), (T1CE_ALONE, "others")]
)
def test_expert_of_the_subset_predicts(pair, view, name):
    available = torch.tensor([view])
    assert pair.choose_expert_name(available) == name
    assert torch.equal(pair(images(1), available), pair.get_submodule(name)(images(1), available))


@torch.no_grad()
def test_mixed_batch_keeps_the_order_of_its_samples(pair):
    given, available = images(3), torch.tensor([T1CE_ALONE, T1CE_AND_T2, T1_AND_T2])
    alone = torch.cat([pair(given[row : row + 1], available[row : row + 1]) for row in range(3)])
    assert torch.allclose(pair(given, available), alone, atol=1e-5)
    levels = pair.forward_levels_available(given, available)
    assert torch.allclose(levels[0], alone, atol=1e-5)
    assert [level.shape[2] for level in levels] == [16, 8]


def test_mixed_batch_trains_both_experts(pair):
    pair(images(2), torch.tensor([T1_AND_T2, T1CE_AND_T2])).sum().backward()
    assert all(expert.stem.conv1.weight.grad is not None for expert in (pair.t1ce_combined, pair.others))


def test_mixed_batch_has_no_single_expert(pair):
    with pytest.raises(ValueError, match="Some samples combine T1ce"):
        pair.choose_expert_name(torch.tensor([T1_AND_T2, T1CE_AND_T2]))


@torch.no_grad()
def test_split_expert_predicts_as_before():
    expert = CrossSequenceExpert(SMALL).eval()
    given, available = images(2), torch.tensor([T1_AND_T2, T1CE_AND_T2])
    expected = expert(given, available)
    assert torch.allclose(split(expert).eval()(given, available), expected, atol=1e-5)


def test_state_tells_whether_the_expert_is_split():
    assert is_split(cross_sequence(split_by_t1ce=True).state_dict(), "cross.")
    assert not is_split(cross_sequence().state_dict(), "cross.")


@torch.no_grad()
def test_offsets_shift_every_subset(pair):
    experts = {name: SubvoxelExpert(SMALL) for name in ("t1", "t1ce", "t2", "flair")}
    mixture = CrossSequenceMixture(experts, pair, CaseGate()).eval()
    available = torch.tensor([to_flags(subset) for subset in SUBSETS])
    before = mixture(images(1), available)
    subtract_from_logits(mixture, (0.5, 1.0, -2.0))
    shift = (before - mixture(images(1), available)).mean(dim=(2, 3, 4))
    assert torch.allclose(shift, torch.tensor([0.5, 1.0, -2.0]).expand(15, 3), atol=1e-4)


@torch.no_grad()
def test_split_mixture_exports_to_equivalent_torchscript(pair):
    exported = torch.jit.script(pair)
    for views in ([T1_AND_T2], [T1CE_AND_T2], [T1_AND_T2, T1CE_AND_T2]):
        available = torch.tensor(views)
        assert torch.allclose(exported(images(len(views)), available), pair(images(len(views)), available), atol=1e-5)
