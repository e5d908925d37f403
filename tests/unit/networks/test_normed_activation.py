"""Combined normalisation and activation match PyTorch, including gradients."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from brats_mm.networks.normed_activation import NormedActivation, instance_norm


def reference(x: torch.Tensor, norm: NormedActivation) -> torch.Tensor:
    return F.leaky_relu(F.instance_norm(x, weight=norm.weight, bias=norm.bias, eps=1e-5), 0.01)


def normed(channels: int, dtype: torch.dtype = torch.float32) -> NormedActivation:
    """Return a layer with weights and biases that differ from their initial values."""
    norm = NormedActivation(channels).to(dtype)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    return norm


def test_group_norm_of_single_channels_equals_instance_norm():
    x = torch.randn(2, 4, 5, 6, 7)
    expected = nn.InstanceNorm3d(4, eps=1e-5, affine=True)(x)
    torch.testing.assert_close(instance_norm(4)(x), expected, rtol=1e-4, atol=1e-5)


def test_two_voxels_by_hand():
    """1 and 3 have mean 2 and variance 1. They become -1 and 1, and the activation scales -1 by 0.01."""
    x = torch.tensor([1.0, 3.0]).reshape(1, 1, 2, 1, 1).requires_grad_()
    torch.testing.assert_close(NormedActivation(1)(x).flatten(), torch.tensor([-0.01, 1.0]), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shape", [(2, 3, 4, 4, 4), (1, 8, 5, 3, 7), (2, 5, 16, 8, 8)], ids=str)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d], ids=["plain", "channels last"])
def test_values_and_gradients_match_pytorch(shape, layout):
    """Includes a mean far from zero, where a difference of two squares would lose the variance."""
    norm = normed(shape[1])
    x = (50 + torch.randn(shape)).contiguous(memory_format=layout).requires_grad_()
    upstream = torch.randn(shape)
    result, expected = norm(x), reference(x, norm)
    torch.testing.assert_close(result, expected, rtol=1e-4, atol=1e-4)
    requested = (x, norm.weight, norm.bias)
    for ours, theirs in zip(
        torch.autograd.grad(result, requested, upstream),
        torch.autograd.grad(expected, requested, upstream),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3)


def test_gradient_matches_finite_differences():
    norm = normed(2, torch.float64)
    x = torch.randn(2, 2, 3, 2, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(norm, (x,))


def test_bfloat16_error_is_close_to_pytorchs():
    norm = normed(8)
    x = torch.randn(2, 8, 16, 16, 16).requires_grad_()
    upstream = torch.randn(2, 8, 16, 16, 16)
    halved = F.group_norm(x.bfloat16(), 8, norm.weight.bfloat16(), norm.bias.bfloat16(), 1e-5)
    exact, ours, theirs = reference(x, norm), norm(x.bfloat16()), F.leaky_relu(halved, 0.01)
    assert ours.dtype == torch.bfloat16
    assert (ours - exact).norm() < 1.5 * (theirs - exact).norm()
    gradient, *halves = (
        torch.autograd.grad(result, x, upstream.to(result.dtype))[0] for result in (exact, ours, theirs)
    )
    assert (halves[0] - gradient).norm() < 1.5 * (halves[1] - gradient).norm()


@pytest.mark.parametrize("shape", [(1, 8, 5, 3, 7), (2, 4, 8, 8, 8)], ids=["odd", "even"])
def test_bfloat16_weight_and_bias_gradients_are_accurate(shape):
    """Sums over many voxels are rounded in parts only."""
    norm = normed(shape[1])
    x = (3 + torch.randn(shape)).bfloat16()
    upstream = torch.rand(shape).bfloat16()
    ours = torch.autograd.grad(norm(x), (norm.weight, norm.bias), upstream)
    exact = torch.autograd.grad(reference(x.float(), norm), (norm.weight, norm.bias), upstream.float())
    for gradient, expected in zip(ours, exact, strict=True):
        assert (gradient - expected).norm() < 0.03 * expected.norm()


def test_output_is_equal_without_gradients():
    norm = normed(4)
    x = torch.randn(2, 4, 6, 5, 4)
    with torch.no_grad():
        quiet = norm(x)
    torch.testing.assert_close(norm(x.requires_grad_()), quiet, rtol=1e-4, atol=1e-5)


def test_layer_is_scriptable():
    norm = normed(3).eval()
    x = torch.randn(1, 3, 4, 4, 4)
    torch.testing.assert_close(torch.jit.script(norm)(x), norm(x), rtol=1e-4, atol=1e-5)
