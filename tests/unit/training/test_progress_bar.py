"""The progress bar of an epoch: on a terminal, in the first process, with loss and speed."""

import io

import pytest
import torch
from ignite.engine import Engine

from brats_mm.training.progress_bar import EpochBar, is_bar_shown


class Terminal(io.StringIO):
    """A stream that is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("requested", "stream", "shown"),
    [
        ("auto", Terminal(), True),
        ("auto", io.StringIO(), False),
        ("true", io.StringIO(), True),
        (False, Terminal(), False),
    ],
)
def test_bar_is_shown_on_terminals_or_on_request(
    requested: bool | str, stream: io.StringIO, shown: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RANK", raising=False)
    assert is_bar_shown(requested, stream=stream) is shown


def test_only_first_process_shows_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    assert not is_bar_shown("true", stream=Terminal())


def _train(*, shown: bool) -> str:
    stream = Terminal()
    trainer = Engine(lambda engine, batch: [{"loss": batch["loss"]}])
    EpochBar(shown=shown, stream=stream, refresh_s=0.0).attach(trainer)
    trainer.run([{"image": torch.zeros(2, 1), "loss": loss} for loss in (1.0, 2.0)], max_epochs=2)
    return stream.getvalue()


def test_bar_shows_epoch_steps_loss_and_images_per_second() -> None:
    drawn = _train(shown=True)

    assert "Epoch 1 of 2" in drawn
    assert "Epoch 2 of 2" in drawn
    assert "2/2" in drawn
    assert "loss 2.0000" in drawn
    assert "images/s" in drawn


def test_disabled_bar_prints_nothing() -> None:
    assert _train(shown=False) == ""
