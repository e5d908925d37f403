"""Learning rates by epoch against hand-checked values."""

import pytest
import torch

from brats_mm.errors import OptionError
from brats_mm.training.schedule import schedule


def _rates(epochs: int, **settings: object) -> list[float]:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=2.0)
    scheduler = schedule(optimizer, epochs=epochs, **settings)
    rates = []
    for _ in range(epochs):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"kind": "constant"}, [2, 2, 2, 2]),
        ({"kind": "cosine"}, [2, 1 + 0.5**0.5, 1, 1 - 0.5**0.5]),
        ({"kind": "poly"}, [2, 2 * 0.75**0.9, 2 * 0.5**0.9, 2 * 0.25**0.9]),
        ({"kind": "constant", "warmup_epochs": 1}, [1, 2, 2, 2]),
        ({"kind": "cosine", "warmup_epochs": 2}, [2 / 3, 4 / 3, 2, 1]),
    ],
)
def test_rates_follow_formula(settings: dict[str, object], expected: list[float]) -> None:
    assert _rates(4, **settings) == pytest.approx(expected)


def test_unknown_kind_error_lists_choices() -> None:
    with pytest.raises(OptionError, match=r"'step'\. Choose one of constant, cosine, poly"):
        _rates(4, kind="step")


def test_rejects_warm_up_of_all_epochs() -> None:
    with pytest.raises(OptionError, match="takes 4 of 4 epochs"):
        _rates(4, warmup_epochs=4)
