"""The sliding-window engine with networks of known output."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from brats_mm.domain.availability import SUBSETS, to_flags
from brats_mm.domain.modality import MODALITIES, Modality
from brats_mm.domain.volume import Grid
from brats_mm.inference.backend import TorchBackend
from brats_mm.inference.engine import (
    BACKGROUND_LOGIT,
    LEFT_RIGHT,
    WindowSettings,
    find_near_brain,
    iterate_window_sizes,
    run_windows,
)
from brats_mm.inference.prepare import ModelInput, Placement
from brats_mm.networks.dmome import DMoME
from brats_mm.networks.gating import UniformGate

CPU = torch.device("cpu")
FLAIR = frozenset({Modality.FLAIR})


class Tripled(nn.Module):
    """An expert whose logits are its input, times 1, 2 and 3."""

    def forward(self, x):
        return x * torch.tensor([1.0, 2.0, 3.0])[:, None, None, None]


class PositionGate(nn.Module):
    """Prefer T1 where the window's mean is high."""

    def forward(self, image):
        values = torch.zeros(image.shape[0], 4, 3)
        values[:, 0] = image.mean()
        return values


def network(gate=None):
    return DMoME({m.value: Tripled() for m in MODALITIES}, gate or UniformGate(modalities=4, outputs=3)).eval()


def model_input(shape, available, seed=0):
    image = torch.randn(4, *shape, generator=torch.Generator().manual_seed(seed))
    image[~torch.tensor(to_flags(available))] = 0
    brain = torch.ones(shape, dtype=torch.bool)
    grid = Grid(shape, np.eye(4))
    whole = tuple((0, size) for size in shape)
    return ModelInput(image, available, brain, Placement(grid, (0, 1, 2), (False,) * 3, shape, whole))


def run(given, settings, subsets=None, net=None, **options):
    subsets = subsets or [given.available]
    return run_windows(given, TorchBackend(net or network(), CPU), settings, subsets=subsets, **options)


@pytest.mark.parametrize("shape", [(20, 33, 50), (70, 64, 90), (100, 65, 64)])
@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.5])
def test_stitched_windows_of_local_network_match_whole_volume(shape, overlap):
    """Blending windows with equal predictions changes nothing, for any positions of the windows."""
    given = model_input(shape, FLAIR)
    result = run(given, WindowSettings(window=(64, 64, 64), overlap=overlap))[FLAIR]
    expected = given.image[3] * torch.tensor([1.0, 2.0, 3.0])[:, None, None, None]
    torch.testing.assert_close(result.logits, expected, rtol=1e-4, atol=1e-4)


def test_windows_shrink_to_small_box_in_multiples_of_16():
    result = run(model_input((20, 33, 50), FLAIR), WindowSettings())[FLAIR]
    assert result.window == (32, 48, 64)
    assert result.windows == 1
    assert run(model_input((20, 20, 20), FLAIR), WindowSettings())[FLAIR].window == (64, 32, 32)


def test_windows_without_brain_are_skipped_as_background():
    given = model_input((64, 64, 192), FLAIR)
    brain = given.brain.clone()
    brain[:, :, 64:] = False
    emptied = ModelInput(given.image * brain, FLAIR, brain, given.placement)
    result = run(emptied, WindowSettings(window=(64, 64, 64), overlap=0.0))[FLAIR]
    assert result.windows == 1
    assert (result.logits[:, :, :, 64:] == BACKGROUND_LOGIT).all()


def test_fifteen_subsets_at_once_match_fifteen_runs():
    """Experts run once for all subsets, with the same result as separate runs."""
    everything = SUBSETS[-1]
    given = model_input((40, 70, 64), everything)
    settings = WindowSettings(window=(64, 64, 64), keep_weight_maps=True)
    together = run(given, settings, SUBSETS, network(PositionGate()))
    for subset in SUBSETS:
        alone = run(given, settings, [subset], network(PositionGate()))[subset]
        torch.testing.assert_close(together[subset].logits, alone.logits)
        torch.testing.assert_close(together[subset].weights, alone.weights)


def test_case_weights_are_mean_of_weight_maps_over_brain():
    """The weights sum to 1 over the available sequences."""
    given = model_input((64, 64, 100), frozenset({Modality.T1, Modality.T2}))
    brain = given.brain.clone()
    brain[:, :30] = False
    given = ModelInput(given.image, given.available, brain, given.placement)
    settings = WindowSettings(window=(64, 64, 64), keep_weight_maps=True)
    result = run(given, settings, net=network(PositionGate()))[given.available]
    torch.testing.assert_close(result.weight_maps[:, :, brain].mean(dim=-1), result.weights, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(result.weights.sum(dim=0), torch.ones(3))
    torch.testing.assert_close(result.weight_maps.sum(dim=0), torch.ones(3, *brain.shape), rtol=1e-4, atol=1e-4)
    assert (result.weights[[1, 3]] == 0).all()


def test_progress_counts_to_end_and_raising_stops_run():
    """Raising from the callback cancels a run."""
    seen = []
    given = model_input((64, 64, 128), FLAIR)
    run(given, WindowSettings(window=(64, 64, 64)), on_window=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 3), (2, 3), (3, 3)]

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(given, WindowSettings(window=(64, 64, 64)), on_window=stop)


def test_progress_counts_passes_of_running_experts():
    seen = []
    two = frozenset({Modality.T1, Modality.T2})
    run(model_input((64, 64, 64), two), WindowSettings(), on_window=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 2), (2, 2)]


def test_experts_of_missing_sequences_do_not_run():
    class Refuses(nn.Module):
        def forward(self, x):
            raise AssertionError

    net = network()
    net.experts["t2"] = Refuses()
    assert run(model_input((64, 64, 64), FLAIR), WindowSettings(), net=net)[FLAIR].windows == 1


def test_flipped_view_is_flipped_back_before_averaging():
    """A local network predicts the same for both views."""
    given = model_input((64, 64, 100), FLAIR)
    settings = WindowSettings(window=(64, 64, 64))
    plain = run(given, settings)[FLAIR]
    mirrored = run(given, replace(settings, tta_flips=((), LEFT_RIGHT, (1, 2))))[FLAIR]
    torch.testing.assert_close(mirrored.logits, plain.logits)


def test_flipped_views_are_averaged():
    """For a network that distinguishes left and right, the result is the mean of both."""

    class Ramp(nn.Module):
        def forward(self, x):
            return torch.arange(float(x.shape[2]))[None, None, :, None, None].expand(1, 3, *x.shape[2:])

    net = DMoME({m.value: Ramp() for m in MODALITIES}, UniformGate(modalities=4, outputs=3))
    result = run(model_input((64, 64, 64), FLAIR), WindowSettings(tta_flips=((), LEFT_RIGHT)), net=net)[FLAIR]
    assert (result.logits == 31.5).all()


def test_smaller_multiple_gives_smaller_windows():
    result = run(model_input((70, 90, 70), FLAIR), WindowSettings(multiple=8))[FLAIR]
    assert result.window == (72, 96, 72)


def test_window_sizes_after_out_of_memory():
    assert list(iterate_window_sizes((128, 128, 128))) == [(128,) * 3, (96,) * 3, (64,) * 3]
    assert list(iterate_window_sizes((192, 160, 64)))[1:] == [(128, 128, 64), (96, 96, 64), (64, 64, 64)]


def test_outside_brain_is_background_and_cavities_are_brain():
    """One voxel around the brain is kept, further ones are not. Cavities belong to the brain."""
    brain = torch.zeros(20, 20, 20, dtype=torch.bool)
    brain[5:15, 5:15, 5:15] = True
    brain[8:12, 8:12, 8:12] = False
    near = find_near_brain(brain)
    assert near[4, 10, 10]
    assert not near[3, 10, 10]
    assert near[10, 10, 10]
    given = model_input((20, 20, 20), FLAIR)
    result = run(ModelInput(given.image, FLAIR, brain, given.placement), WindowSettings())[FLAIR]
    assert (result.logits[:, ~near] == BACKGROUND_LOGIT).all()
    assert (result.logits[:, near] != BACKGROUND_LOGIT).all()
