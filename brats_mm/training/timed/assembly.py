"""Join trained modality experts and a trained cross-sequence expert in one network."""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from brats_mm.domain.availability import SUBSETS, to_flags
from brats_mm.networks.case_gate import THUMBNAIL, CaseGate
from brats_mm.networks.cross_mixture import CrossSequenceMixture
from brats_mm.networks.dmome import DMoME
from brats_mm.networks.presets import WIDTHS, cross_sequence
from brats_mm.networks.split_cross_sequence import is_split
from brats_mm.networks.subvoxel import FACTOR, SubvoxelExpert, from_lattice_expert
from brats_mm.training.timed.packing import PackedCase, unpack_image


def assemble(
    experts: Mapping[str, nn.Module],
    gate_values: Tensor,
    cross_state: Mapping[str, Tensor],
    joint_shares: Sequence[float],
    *,
    size: str = "light",
) -> CrossSequenceMixture:
    """Join modality experts and a cross-sequence expert in a `CrossSequenceMixture`.

    Args:
        experts: modality name -> sub-voxel expert.
        gate_values: (s, m, c) gate values of the modality experts for each of the 15 subsets.
        cross_state: weights of the cross-sequence expert, or of the two of a `SplitCrossSequenceExpert`.
        joint_shares: weight of the cross-sequence expert for WT, TC, ET, each in (0, 1).
        size: size of the modality experts.
    """
    network = cross_sequence(size, split_by_t1ce=is_split(cross_state))
    for name, expert in experts.items():
        network.experts[name] = expert
    network.cross.load_state_dict(cross_state)
    assert isinstance(network.gate, CaseGate)
    fit_case_gate(network.gate, gate_values, torch.tensor(joint_shares))
    return network.eval()


def build_subvoxel_experts(mixture: DMoME, *, size: str = "light") -> dict[str, SubvoxelExpert]:
    """Convert the experts of a SimMLM mixture at 2 mm to sub-voxel experts of the same function at 1 mm.

    Args:
        mixture: SimMLM mixture at 2 mm.
        size: size of the modality experts.
    """
    return {
        name: from_lattice_expert(expert, WIDTHS[size])  # type: ignore[arg-type]
        for name, expert in mixture.experts.items()
    }


def average_window_gate_values(mixture: DMoME, cases: Sequence[PackedCase]) -> Tensor:
    """Return the mean values (s, m, c) of a SimMLM mixture's gate for each of the 15 subsets.

    Args:
        mixture: mixture at 2 mm.
        cases: packed cases at 1 mm on which the gate is observed.
    """
    return torch.stack([_compute_window_gate_values(mixture, case) for case in cases]).mean(dim=0)


@torch.no_grad()
def observe_gate_values(network: CrossSequenceMixture) -> Tensor:
    """Return a case gate's values (s, m, c) for the modality experts and each of the 15 subsets of an empty case."""
    views = torch.tensor([to_flags(subset) for subset in SUBSETS])
    small = torch.zeros(len(views), views.shape[1], THUMBNAIL, THUMBNAIL, THUMBNAIL)
    values: Tensor = network.gate(small, views)
    return values[:, : views.shape[1]]


@torch.no_grad()
def _compute_window_gate_values(mixture: DMoME, case: PackedCase) -> Tensor:
    """Compute the raw output (s, m, c) of the mixture's gate for each of the 15 subsets of a case."""
    image = unpack_image(torch.from_numpy(case.image), case.scale, case.offset)[None]
    coarse = F.avg_pool3d(image, FACTOR)
    views = torch.tensor([to_flags(subset) for subset in SUBSETS])
    return torch.cat([mixture.gate(coarse * view[None, :, None, None, None]) for view in views])


@torch.no_grad()
def fit_case_gate(gate: CaseGate, values: Tensor, joint_shares: Tensor) -> None:
    """Fit the gate's last layer to given outputs per availability, independent of the case.

    The layer is linear in availability, so the fit is in the least-squares sense over the 15 subsets.

    Args:
        gate: gate to change in place.
        values: (s, m, c) gate values of the modality experts for each of the 15 subsets.
        joint_shares: (c,) weight of the cross-sequence expert, each in (0, 1).
    """
    views = torch.tensor([to_flags(subset) for subset in SUBSETS])
    inputs = torch.cat([views.float(), torch.ones(len(views), 1)], dim=1)
    modality = torch.linalg.lstsq(inputs, values.flatten(1)).solution.T.reshape(*values.shape[1:], -1)  # (m c m+1)
    fitted = torch.einsum("mck,sk->smc", modality, inputs)
    total = fitted.masked_fill(~views[:, :, None], float("-inf")).logsumexp(dim=1)  # (s c)
    target_logits = torch.logit(joint_shares)[None] + total
    sizes = views.sum(dim=1)
    per_size = (sizes[:, None] == sizes).sum(dim=1).rsqrt()[:, None]  # give the subsets of each size the same weight
    joint = torch.linalg.lstsq(inputs * per_size, target_logits * per_size).solution.T[None]  # (1 c m+1)
    layer = torch.cat([modality, joint]).flatten(0, 1)  # ((m + 1) c, m + 1)
    gate.linear.weight.zero_()
    gate.linear.weight[:, -views.shape[1] :] = layer[:, :-1]
    gate.linear.bias.copy_(layer[:, -1])
