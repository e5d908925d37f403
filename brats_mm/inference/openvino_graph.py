"""Build experts as OpenVINO graphs, layer by layer, in the fastest form of each layer.

Compared with the graph of OpenVINO's converter, which takes three times as long on an x86 processor with AVX-512:

* Instance normalisation is one mean-variance operation over the three spatial axes. Group normalisation would become
reshapes, which change the layout around every convolution. * Biases before a normalisation are omitted, because the
mean subtraction removes them. * The convolution over concatenated upsampled and skipped features becomes two
convolutions that are added. * Shapes are dynamic, so one compilation serves all boxes, at the speed of a fixed shape.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import openvino as ov
import torch
from openvino import opset13 as op
from torch import Tensor, nn

from brats_mm.networks.cross_sequence import CrossSequenceExpert
from brats_mm.networks.expert import ConvBlock, UNetExpert, UpBlock
from brats_mm.networks.levels import FeatureExpert, ProbabilityExpert
from brats_mm.networks.normed_activation import NEGATIVE_SLOPE
from brats_mm.networks.subvoxel import SubvoxelExpert

GRAPH_VERSION = 5
"""Version of the graphs. Increase it when a graph changes, to invalidate cached compiled graphs."""

SPACE = (2, 3, 4)
"""Axes of h, w and d."""

Node = Any
"""The operators of OpenVINO are untyped."""


def build_graph(expert: nn.Module) -> ov.Model:
    """Convert an expert to a graph from (b, 1, h, w, d) to (b, c, h, w, d). All sides but the channels are dynamic.

    Raises:
        TypeError: the module is not a known expert.
    """
    image = op.parameter(ov.PartialShape([-1, 1, -1, -1, -1]), np.float32)
    return ov.Model([_add_expert(image, expert)], [image])


def build_lattice_graph(expert: SubvoxelExpert, *, bfloat16: bool) -> ov.Model:
    """Convert a sub-voxel expert to a graph from (b, 1, h, w, d) to its `compute_lattice_logits`.

    Args:
        expert: the expert.
        bfloat16: return bfloat16, in half the memory of float32.
    """
    image = op.parameter(ov.PartialShape([-1, 1, -1, -1, -1]), np.float32)
    features = _add_features(op.space_to_depth(image, "blocks_first", 2), expert.unet)
    head, detail = expert.unet.heads[-1], expert.detail
    assert isinstance(head, nn.Conv3d)
    both = nn.Conv3d(detail.in_channels, head.out_channels + detail.out_channels, kernel_size=1)
    with torch.no_grad():
        both.weight.copy_(torch.cat([head.weight, detail.weight]))
        both.get_parameter("bias").copy_(torch.cat([head.get_parameter("bias"), detail.get_parameter("bias")]))
    lattice = _convolve(features, both)
    return ov.Model([op.convert(lattice, ov.Type.bf16) if bfloat16 else lattice], [image])


def build_joint_graph(expert: CrossSequenceExpert) -> ov.Model:
    """Convert a cross-sequence expert to a graph of an image (b, m, h, w, d) and its availability (b, m) as 0 and 1."""
    modalities = expert.stem.conv1.in_channels
    image = op.parameter(ov.PartialShape([-1, modalities, -1, -1, -1]), np.float32)
    available = op.parameter(ov.PartialShape([-1, modalities]), np.float32)
    hidden = op.multiply(image, _reshape_to_space(available, modalities))
    return ov.Model([_convolve(_add_features(hidden, expert, available), expert.heads[-1])], [image, available])


def is_convertible(expert: nn.Module) -> bool:
    """Return whether `build_graph` can convert the expert."""
    if isinstance(expert, CrossSequenceExpert):
        return False  # it has two inputs, see `build_joint_graph`
    inner = expert.expert if isinstance(expert, ProbabilityExpert | FeatureExpert) else expert
    return isinstance(inner, UNetExpert | SubvoxelExpert)


def _add_expert(image: Node, expert: nn.Module) -> Node:
    if isinstance(expert, UNetExpert):
        return _convolve(_add_features(image, expert), expert.heads[-1])
    if isinstance(expert, SubvoxelExpert):
        return _add_subvoxel(image, expert)
    if isinstance(expert, ProbabilityExpert):
        return op.sigmoid(_add_expert(image, expert.expert))
    if isinstance(expert, FeatureExpert) and isinstance(expert.expert, UNetExpert):
        return _add_features(image, expert.expert)
    raise TypeError(type(expert).__name__)


def _add_subvoxel(image: Node, expert: SubvoxelExpert) -> Node:
    """Add space to depth, the U-Net on the coarse lattice, interpolation of its logits, and the voxelwise detail."""
    features = _add_features(op.space_to_depth(image, "blocks_first", 2), expert.unet)
    coarse = _convolve(features, expert.unet.heads[-1])
    smooth = op.interpolate(
        coarse,
        op.constant(np.array([2.0, 2.0, 2.0], np.float32)),
        mode="linear_onnx",
        shape_calculation_mode="scales",
        coordinate_transformation_mode="half_pixel",
        axes=op.constant(np.array(SPACE, np.int64)),
    )
    return op.add(smooth, op.depth_to_space(_convolve(features, expert.detail), "depth_first", 2))


def _add_features(image: Node, expert: UNetExpert, available: Node | None = None) -> Node:
    x = _add_block(_convolve_without_bias(image, expert.stem.conv1), expert.stem)
    skips = [x]
    for number, block in enumerate(expert.down):
        assert isinstance(block, ConvBlock)
        x = _add_block(_convolve_without_bias(x, block.conv1), block)
        if available is not None and isinstance(expert, CrossSequenceExpert):
            x = _add_condition(x, available, expert.conditions[number])
        skips.append(x)
    for level, skip in zip(expert.up, reversed(skips[:-1]), strict=True):
        assert isinstance(level, UpBlock)
        x = _add_up_block(x, skip, level)
    return x


def _add_condition(x: Node, available: Node, condition: nn.Module) -> Node:
    """Scale and shift features by a linear function of availability."""
    assert isinstance(condition, nn.Linear)
    width = condition.out_features // 2
    values = op.add(
        op.matmul(available, op.constant(_to_numpy(condition.weight)), transpose_a=False, transpose_b=True),
        op.constant(_to_numpy(condition.bias).reshape(1, -1)),
    )
    scale, shift = op.split(values, op.constant(1), 2).outputs()
    unit = op.constant(np.array(1, np.float32))
    return op.add(op.multiply(x, op.add(_reshape_to_space(scale, width), unit)), _reshape_to_space(shift, width))


def _reshape_to_space(values: Node, channels: int) -> Node:
    """Reshape values (b, c) to (b, c, 1, 1, 1)."""
    return op.reshape(values, op.constant(np.array([-1, channels, 1, 1, 1], np.int64)), special_zero=False)


def _add_block(first: Node, block: ConvBlock) -> Node:
    """Add the layers after a block's first convolution."""
    x = _activate(_normalise(first, block.norm1))
    return _activate(_normalise(_convolve_without_bias(x, block.conv2), block.norm2))


def _add_up_block(x: Node, skip: Node, level: UpBlock) -> Node:
    up = op.convolution_backprop_data(x, _make_constant(level.upsample.weight), [2, 2, 2])
    up = op.add(up, _make_channel_constant(level.upsample.bias))
    sides = op.gather(op.shape_of(skip), op.constant(np.array(SPACE)), op.constant(0))
    up = op.slice(up, np.zeros(3, np.int64), sides, np.ones(3, np.int64), np.array(SPACE))
    weight, half = level.block.conv1.weight, level.block.conv1.in_channels // 2
    both = op.add(_convolve_cubes(up, weight[:, :half], 1), _convolve_cubes(skip, weight[:, half:], 1))
    return _add_block(both, level.block)


def _convolve(x: Node, layer: nn.Module) -> Node:
    """Add a 1x1x1 convolution with its bias."""
    assert isinstance(layer, nn.Conv3d)
    product = op.convolution(x, _make_constant(layer.weight), [1] * 3, [0] * 3, [0] * 3, [1] * 3)
    return op.add(product, _make_channel_constant(layer.bias))


def _convolve_without_bias(x: Node, layer: nn.Conv3d) -> Node:
    return _convolve_cubes(x, layer.weight, layer.stride[0])


def _convolve_cubes(x: Node, weight: Tensor, stride: int) -> Node:
    """Add a 3x3x3 convolution."""
    return op.convolution(x, _make_constant(weight), [stride] * 3, [1] * 3, [1] * 3, [1] * 3)


def _normalise(x: Node, norm: nn.GroupNorm) -> Node:
    scaled = op.mvn(x, np.array(SPACE), normalize_variance=True, eps=norm.eps, eps_mode="inside_sqrt")
    return op.add(op.multiply(scaled, _make_channel_constant(norm.weight)), _make_channel_constant(norm.bias))


def _activate(x: Node) -> Node:
    return op.prelu(x, op.constant(np.array([NEGATIVE_SLOPE], np.float32)))


def _make_constant(weight: Tensor) -> Node:
    return op.constant(_to_numpy(weight))


def _make_channel_constant(value: Tensor | None) -> Node:
    assert value is not None, "these layers have biases"
    return op.constant(_to_numpy(value).reshape(1, -1, 1, 1, 1))


def _to_numpy(value: Tensor) -> npt.NDArray[np.float32]:
    return np.ascontiguousarray(value.detach().cpu().float().numpy())
