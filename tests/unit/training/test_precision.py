"""Precision names, their devices, and gradient scaling."""

import pytest
import torch

from brats_mm.errors import OptionError
from brats_mm.training.precision import mixed_precision


@pytest.mark.parametrize(("name", "dtype"), [("float32", None), ("bfloat16", torch.bfloat16)])
def test_precisions_without_gradient_scaling(name: str, dtype: torch.dtype | None) -> None:
    precision = mixed_precision(name, device="cpu")

    assert precision.dtype == dtype
    assert not precision.scaler.is_enabled()


def test_rejects_float16_on_cpu_and_names_alternatives() -> None:
    with pytest.raises(OptionError, match=r"float16 needs a CUDA device.* Use --precision bfloat16"):
        mixed_precision("float16", device=torch.device("cpu"))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_float16_on_cuda_scales_gradients() -> None:
    precision = mixed_precision("float16", device="cuda")

    assert precision.dtype == torch.float16
    assert precision.scaler.is_enabled()


def test_unknown_precision_error_lists_choices() -> None:
    with pytest.raises(OptionError, match=r"'half'\. Choose one of float32, bfloat16, float16"):
        mixed_precision("half")
