"""Muon: orthogonalised updates for convolution kernels."""

import torch
from torch import nn

from brats_mm.networks.presets import cross_expert
from brats_mm.training.timed.muon import ADAM_RMS, Muon, orthogonalise, select_kernels


def test_orthogonalise_keeps_directions_and_brings_singular_values_near_one() -> None:
    matrix = torch.randn(12, 40, generator=torch.Generator().manual_seed(1))
    u, values, v = torch.linalg.svd(matrix, full_matrices=False)
    rotated = u.T @ orthogonalise(matrix) @ v.T
    assert values.max() / values.min() > 1.9
    assert torch.all((rotated.diagonal() > 0.6) & (rotated.diagonal() < 1.3))
    assert (rotated - torch.diag(rotated.diagonal())).abs().max() < 1e-4


def test_orthogonalise_takes_tall_matrices() -> None:
    matrix = torch.randn(30, 6, generator=torch.Generator().manual_seed(2))
    assert torch.allclose(orthogonalise(matrix), orthogonalise(matrix.T).T, atol=1e-6)


def test_first_update_has_the_size_of_an_adamw_update() -> None:
    kernel = nn.Parameter(torch.zeros(16, 8, 3, 3, 3))
    kernel.grad = torch.randn(kernel.shape, generator=torch.Generator().manual_seed(3)) * 1e-6
    Muon([kernel], lr=0.01).step()
    rms = kernel.detach().square().mean().sqrt()
    assert 0.6 * ADAM_RMS * 0.01 < rms < 1.3 * ADAM_RMS * 0.01


def test_kernel_without_gradient_stays() -> None:
    kernel = nn.Parameter(torch.ones(4, 4, 1, 1, 1))
    Muon([kernel], lr=0.01).step()
    assert torch.equal(kernel, torch.ones_like(kernel))


def test_first_layer_and_heads_are_left_to_adamw() -> None:
    network = cross_expert()
    kernels = {id(kernel) for kernel in select_kernels(network)}
    names = {name for name, parameter in network.named_parameters() if id(parameter) in kernels}
    assert len(names) == 20
    assert not any(name.startswith(("stem", "heads", "conditions")) or "bias" in name for name in names)
