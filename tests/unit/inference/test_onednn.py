"""oneDNN convolutions of single windows give the same result, and only on request."""

import copy

import pytest
import torch
from torch import nn

from brats_mm.inference import onednn
from brats_mm.inference.onednn import use_onednn
from brats_mm.networks.presets import expert


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Batch sizes of the convolutions that PyTorch chose itself."""
    result: list[int] = []
    own = nn.Conv3d._conv_forward

    def watched(module: nn.Conv3d, x: torch.Tensor, *rest: torch.Tensor | None) -> torch.Tensor:
        result.append(len(x))
        return own(module, x, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(nn.Conv3d, "_conv_forward", watched)
    return result


@pytest.fixture
def x86(monkeypatch: pytest.MonkeyPatch) -> None:
    if not torch.backends.mkldnn.is_available():
        pytest.skip("PyTorch is built without oneDNN")
    monkeypatch.setattr(onednn.platform, "machine", lambda: "x86_64")


@pytest.mark.usefixtures("x86")
def test_result_is_unchanged(asked: list[int]) -> None:
    torch.manual_seed(0)
    plain = expert().eval().to(memory_format=torch.channels_last_3d)
    quick = use_onednn(copy.deepcopy(plain))
    image = torch.randn(1, 1, 64, 64, 32)

    with torch.inference_mode():
        requested = plain(image)
        asked.clear()
        result = quick(image)

    assert not asked  # PyTorch made no choice
    torch.testing.assert_close(result, requested, atol=1e-4, rtol=1e-4)
    assert quick.state_dict().keys() == plain.state_dict().keys()


@pytest.mark.usefixtures("x86")
@pytest.mark.parametrize("case", ["two windows", "gradients", "autocast", "double precision"])
def test_pytorch_chooses_in_other_cases(asked: list[int], case: str) -> None:
    network = use_onednn(nn.Sequential(nn.Conv3d(1, 2, 3, padding=1)))
    image = torch.randn(2 if case == "two windows" else 1, 1, 8, 8, 8)
    if case == "double precision":
        network, image = network.double(), image.double()

    with (
        torch.set_grad_enabled(case == "gradients"),
        torch.autocast("cpu", torch.bfloat16, enabled=case == "autocast"),
    ):
        network(image)

    assert asked == [len(image)]


def test_other_processors_are_unchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onednn.platform, "machine", lambda: "arm64")
    network = use_onednn(nn.Sequential(nn.Conv3d(1, 2, 3)))

    assert "_conv_forward" not in vars(network[0])
