"""Named network sizes and ablations, for configs."""

from collections.abc import Callable

from torch import nn

from brats_mm.domain.modality import MODALITIES
from brats_mm.domain.regions import REGIONS
from brats_mm.errors import OptionError
from brats_mm.networks.case_gate import CaseGate
from brats_mm.networks.cross_mixture import CrossSequenceMixture
from brats_mm.networks.cross_sequence import CrossSequenceExpert
from brats_mm.networks.dmome import DMoME
from brats_mm.networks.expert import UNetExpert
from brats_mm.networks.gating import GatingNetwork, SpatialGate, UniformGate
from brats_mm.networks.levels import FeatureExpert, LogitOfProbability, ProbabilityExpert
from brats_mm.networks.split_cross_sequence import SplitCrossSequenceExpert
from brats_mm.networks.subvoxel import SubvoxelExpert

WIDTHS: dict[str, tuple[int, ...]] = {
    "light": (8, 16, 32, 64, 80, 80),
    "full": (32, 64, 128, 256, 320, 320),
}
"""`light` is the paper's model with 7.8 M parameters. `full` is nnU-Net's plan with 124.8 M."""

GATES: dict[str, Callable[..., nn.Module]] = {"dynamic": GatingNetwork, "mean": UniformGate, "spatial": SpatialGate}

LEVELS = ("logit", "probability", "feature")


def _choose(name: str, value: str, choices: tuple[str, ...]) -> str:
    if value not in choices:
        raise OptionError(f"{name} is {value!r}. Choose one of {', '.join(choices)}.")
    return value


CROSS_WIDTHS = (16, 32, 64, 128, 160)
"""Feature channels of the cross-sequence expert: 4.1 M parameters."""


def cross_sequence(size: str = "light", *, split_by_t1ce: bool = False) -> CrossSequenceMixture:
    """Build four modality experts at 1 mm on a 2 mm lattice, and a cross-sequence expert at 1 mm.

    Args:
        size: size of the modality experts, a key of `WIDTHS`.
        split_by_t1ce: use one cross-sequence expert for T1ce combined with other sequences, and another one for all
            other subsets, as the bundle does.

    Raises:
        OptionError: the size is unknown.
    """
    widths = WIDTHS[_choose("size", size, tuple(WIDTHS))]
    experts = {modality.value: SubvoxelExpert(widths, out_channels=len(REGIONS)) for modality in MODALITIES}
    count = len(MODALITIES)
    return CrossSequenceMixture(
        experts,
        SplitCrossSequenceExpert(cross_expert(), cross_expert()) if split_by_t1ce else cross_expert(),
        CaseGate(modalities=count, experts=count + 1, outputs=len(REGIONS)),
    )


def cross_expert() -> CrossSequenceExpert:
    """Build a cross-sequence expert."""
    return CrossSequenceExpert(CROSS_WIDTHS, modalities=len(MODALITIES), out_channels=len(REGIONS))


def expert(size: str = "light") -> UNetExpert:
    """Build the U-Net of one modality.

    Args:
        size: a key of `WIDTHS`: `light` or `full`.

    Raises:
        OptionError: the size is unknown.
    """
    return UNetExpert(WIDTHS[_choose("size", size, tuple(WIDTHS))], out_channels=len(REGIONS))


def simmlm(size: str = "light", *, level: str = "logit", weighting: str = "dynamic") -> DMoME:
    """Build SimMLM's mixture of four experts. The defaults are the paper's.

    Args:
        size: `light` (widths 8-16-32-64-80-80) or `full` (32-...-320).
        level: level of mixing: `logit` (the paper), `probability` or `feature` (its ablations).
        weighting: `dynamic` (the gate), `mean` (static mean of the available experts) or `spatial` (weights that vary
            over space, not in the paper).

    Raises:
        OptionError: an argument is unknown.
    """
    _choose("level", level, LEVELS)
    make_gate = GATES[_choose("weighting", weighting, tuple(GATES))]
    experts = {modality.value: expert(size) for modality in MODALITIES}
    shared = level == "feature"
    gate = make_gate(modalities=len(MODALITIES), outputs=1 if shared else len(REGIONS))
    if level == "probability":
        return DMoME({name: ProbabilityExpert(net) for name, net in experts.items()}, gate, LogitOfProbability())
    if level == "feature":
        head = nn.Conv3d(WIDTHS[size][0], len(REGIONS), kernel_size=1)
        return DMoME({name: FeatureExpert(net) for name, net in experts.items()}, gate, head)
    return DMoME(experts, gate)
