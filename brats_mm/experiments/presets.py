"""Networks of the compared methods, at SimMLM's size, for configs. Widths are those of `networks.presets`."""

from torch import nn

from brats_mm.domain.modality import MODALITIES
from brats_mm.domain.regions import REGIONS
from brats_mm.errors import OptionError, check_choice
from brats_mm.experiments.early_fusion import EarlyFusionNetwork
from brats_mm.experiments.mmp.network import Decoder, MaskedProjectionNetwork
from brats_mm.experiments.mmp.projection import Projection
from brats_mm.experiments.momke import MoMKE
from brats_mm.networks.expert import Encoder, UNetExpert
from brats_mm.networks.gating import GatingNetwork
from brats_mm.networks.levels import FeatureExpert
from brats_mm.networks.presets import WIDTHS, expert

DECODER_FACTOR = 2
"""Width of MMP's decoder relative to an expert's. It replaces four decoders at about equal parameters."""

FUSED_FACTOR = 2
"""Width of early fusion's U-Net relative to an expert. Its square is the number of experts it replaces."""


def mmp(
    size: str = "light",
    *,
    projected_scales: int = 1,
    aggregated: int = 16,
    heads: int = 4,
    hidden: int = 2,
    projected_mean: bool = True,
) -> MaskedProjectionNetwork:
    """Build masked modality projection on encoders with a preset's widths.

    Args:
        size: a key of `presets.WIDTHS`. `light` has 8.2 M parameters and 15.4 G multiply-accumulates on a window of 64
            voxels per side, compared with 7.8 M and 15.1 G of the mixture.
        projected_scales: number of projected scales, from the coarsest. At the other scales, missing modalities are
            zero. 0 gives the host network, for the baselines.
        aggregated: number of aggregated tokens per modality. The paper's number is unknown.
        heads: heads of the cross-attention.
        hidden: hidden width of the MLP as a multiple of the token width.
        projected_mean: whether the MLP sees the mean of the available features at a voxel, which is our addition.

    Raises:
        OptionError: the size is unknown, or the number of scales or heads is invalid.
    """
    widths = _look_up_widths(size)
    if not 0 <= projected_scales <= len(widths):
        raise OptionError(
            f"projected_scales is {projected_scales}, but the network of size {size} has {len(widths)} scales."
        )
    projected = widths[::-1][:projected_scales]
    if aggregated < 1 or heads < 1 or any(width % heads for width in projected):
        raise OptionError(
            f"aggregated is {aggregated} and heads is {heads}. Both must be at least 1, and heads must divide the "
            f"widths {', '.join(map(str, projected))}."
        )
    count = len(MODALITIES)
    return MaskedProjectionNetwork(
        {modality.value: Encoder(widths) for modality in MODALITIES},
        [
            Projection(count, width, aggregated=aggregated, heads=heads, hidden=hidden, mean=projected_mean)
            for width in projected
        ],
        Decoder(
            [count * width for width in widths],
            [DECODER_FACTOR * width for width in widths],
            out_channels=len(REGIONS),
        ),
    )


def momke(size: str = "light") -> MoMKE:
    """Build MoMKE on the mixture's experts, as re-implemented by SimMLM's authors.

    At size `light` it has 7.8 M parameters. Its 60.3 G multiply-accumulates on a window of 64 voxels per side are four
    times the mixture's.

    Raises:
        OptionError: the size is unknown.
    """
    widths = _look_up_widths(size)
    count = len(MODALITIES)
    return MoMKE(
        {modality.value: FeatureExpert(expert(size)) for modality in MODALITIES},
        {modality.value: GatingNetwork(modalities=1, outputs=count) for modality in MODALITIES},
        nn.Conv3d(count * widths[0], len(REGIONS), kernel_size=1),
    )


def early_fusion(size: str = "light") -> EarlyFusionNetwork:
    """Build one U-Net on all sequences, twice as wide as an expert.

    At size `light` it has 7.8 M parameters and 15.3 G multiply-accumulates on a window of 64 voxels per side, like the
    mixture.

    Raises:
        OptionError: the size is unknown.
    """
    widths = tuple(FUSED_FACTOR * width for width in _look_up_widths(size))
    return EarlyFusionNetwork(UNetExpert(widths, in_channels=len(MODALITIES), out_channels=len(REGIONS)))


def _look_up_widths(size: str) -> tuple[int, ...]:
    check_choice("size", size, WIDTHS)
    return WIDTHS[size]
