"""MWAM: slow down branches of modalities rich in low frequencies, and speed up the others (Lu et al., ICLR 2026).

Networks prefer modalities rich in low frequencies and neglect the others. MWAM measures this in each batch
(`compute_frequency_ratio`) and weights the learning of each modality's branch (`modality_bank`, `forms`). Its
authors report larger gains from scratch than from pretrained weights, and whole-tumour Dice only.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from ignite.engine import Events
from jaxtyping import Bool, Float
from monai.utils import ensure_tuple
from torch import Tensor, distributed, nn

from brats_mm.errors import OptionError, TrainingError
from brats_mm.experiments.mwam.forms import Form, GradientForm, LossForm, UpdateForm
from brats_mm.experiments.mwam.frequency_ratio import RatioSettings, compute_frequency_ratio
from brats_mm.experiments.mwam.modality_bank import ModalityBank, WeightSettings
from brats_mm.losses.segmentation import TaskLoss
from brats_mm.training.warm_start import unwrap

logger = logging.getLogger(__name__)

FORMS = ("update", "gradient", "loss", "watch")
"""`watch` only measures and logs."""

REGIONS_OF_INTEREST = ("signal", "all")
"""`signal`: voxels where any sequence is nonzero, the brain. `all`: everywhere, for images without background."""


class Mwam:
    """Trainer handler that measures each batch and applies the weights in one or several forms.

    Ratios are computed on complete inputs, so sequences that are dropped for training must still be in the batch. Stage
    2 uses flags for that. The batch must also contain `available`, (b, m), so add it to the keys of `SelectItemsd`.
    If the batch has `present`, it takes precedence. Each epoch logs the ratio and mean weight of each modality, as the
    trainer's metrics `frm_<modality>` and `mwam_<modality>`. `mwam_mean` is the mean over the modalities: the factor of
    the branches' mean learning rate in the update form.

    Args:
        network: network with one named branch per modality, in the order of the inputs. It is not modified.
        form: one or several of `FORMS`. The paper's hybrid is `["gradient", "loss"]`.
        branches: name of the module with the branches: `experts` of a mixture, `encoders` of MMP.
        keys: batch keys: one tensor with a channel per modality, or one tensor per modality.
        inside: one of `REGIONS_OF_INTEREST`.
        task_loss: loss of the loss form. Default: the segmentation loss.
        ratio: fields of `RatioSettings`.
        weights: fields of `WeightSettings`.

    Raises:
        OptionError: an argument is unknown, or the loss form does not fit the network.
        TrainingError: (in training) the batch has no `available`.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        form: str | Sequence[str] = "update",
        branches: str = "experts",
        keys: str | Sequence[str] = "image",
        inside: str = "signal",
        task_loss: nn.Module | None = None,
        ratio: Mapping[str, Any] | None = None,
        weights: Mapping[str, Any] | None = None,
    ) -> None:
        forms = ensure_tuple(form)
        _choose("form", forms, FORMS)
        _choose("inside", (inside,), REGIONS_OF_INTEREST)
        self.keys, self.inside = ensure_tuple(keys), inside
        self.ratio = RatioSettings(**(ratio or {}))
        mixture = unwrap(network)
        self.branches = _find_branches(mixture, branches)
        self.bank = ModalityBank(len(self.branches), WeightSettings(**(weights or {})))
        self._steps, self._weight_sums = 0, torch.zeros(len(self.branches))
        built: dict[str, Form] = {}
        if "gradient" in forms:
            built["gradient"] = GradientForm(self.branches, self.current)
        if "update" in forms:
            built["update"] = UpdateForm(self.branches, self.current)
        if "loss" in forms:
            built["loss"] = LossForm(self.branches, self.current, network=mixture, task_loss=task_loss or TaskLoss())
        self.forms = tuple(built.values())

    def attach(self, engine: Any) -> None:
        """Measure before every step, apply the weights in it, and log after each epoch."""
        engine.add_event_handler(Events.EPOCH_STARTED, self._start_epoch)
        engine.add_event_handler(Events.ITERATION_STARTED, self._measure)
        for form in self.forms:
            form.attach(engine)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._note)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._log_weights)

    def current(self) -> Mapping[str, float]:
        """Return the weight of each branch in the current step."""
        return dict(zip(self.branches, self.bank.weights.tolist(), strict=True))

    def state_dict(self) -> dict[str, Tensor]:
        """Return the state for a checkpoint."""
        return self.bank.state_dict()

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore the state from a checkpoint."""
        self.bank.load_state_dict(state)

    def _start_epoch(self, engine: Any) -> None:
        self._steps, self._weight_sums = 0, torch.zeros(len(self.branches))

    def _measure(self, engine: Any) -> None:
        batch = engine.state.batch
        available = _read_available(batch)
        if len(self.keys) == 1:
            sums, patches = self._compute_ratios(_to_plain(batch[self.keys[0]]), available)
        else:
            measured = [
                self._compute_ratios(_to_plain(batch[key]), available[:, [at]]) for at, key in enumerate(self.keys)
            ]
            sums, patches = (torch.cat([parts[part] for parts in measured]) for part in (0, 1))
        if distributed.is_available() and distributed.is_initialized():  # all processes use equal weights
            together = torch.stack([sums, patches]).to(engine.state.device)
            distributed.all_reduce(together)
            sums, patches = together.cpu()
        self.bank.update(sums / patches)  # 0 / 0 gives NaN: the modality is not in this batch

    @torch.no_grad()
    def _compute_ratios(
        self, image: Float[Tensor, "b m *space"], available: Bool[Tensor, "b m"]
    ) -> tuple[Float[Tensor, " m"], Float[Tensor, " m"]]:
        mask = available.reshape(available.shape + (1,) * (image.dim() - 2))
        inside = ((image != 0) & mask).any(dim=1) if self.inside == "signal" else None
        sums, patches = compute_frequency_ratio(image, available, inside=inside, settings=self.ratio)
        return sums.cpu(), patches.cpu()

    def _note(self, engine: Any) -> None:
        self._steps += 1
        self._weight_sums += self.bank.weights
        means = self._weight_sums / self._steps
        engine.state.metrics["mwam_mean"] = float(means.mean())
        for at, name in enumerate(self.branches):
            engine.state.metrics[f"mwam_{name}"] = float(means[at])
            if not bool(self.bank.ratios[at].isnan()):
                engine.state.metrics[f"frm_{name}"] = float(self.bank.ratios[at])

    def _log_weights(self, engine: Any) -> None:
        metrics = engine.state.metrics
        ratios = ", ".join(f"{name} {metrics.get(f'frm_{name}', float('nan')):.3g}" for name in self.branches)
        weights = ", ".join(f"{name} {metrics[f'mwam_{name}']:.3f}" for name in self.branches)
        logger.info(
            "Frequency ratios: %s. Mean weights of the branches: %s, together %.3f.",
            *(ratios, weights, metrics["mwam_mean"]),
        )


def _find_branches(network: nn.Module, name: str) -> dict[str, nn.Module]:
    try:
        return dict(network.get_submodule(name).named_children())
    except AttributeError as error:
        kind, parts = type(network).__name__, ", ".join(part for part, _ in network.named_children())
        raise OptionError(f"The {kind} has no branches {name!r}, only {parts}. Set --mwam::branches.") from error


def _to_plain(image: Any) -> Tensor:
    plain: Tensor = image.as_tensor() if hasattr(image, "as_tensor") else image
    return plain.float()


def _read_available(batch: Mapping[str, Any]) -> Bool[Tensor, "b m"]:
    if "available" not in batch:
        raise TrainingError(
            "MWAM needs the availability of each sample, but the batch has no `available`. Add it to the keys of "
            "SelectItemsd, as in configs/methods/mwam.json."
        )
    available: Tensor = (
        batch["present"] if "present" in batch else batch["available"]
    )  # `present` is the availability before sequences are dropped
    return available.bool() if available.dim() == 2 else available.bool().any(dim=1)


def _choose(name: str, values: Sequence[str], choices: tuple[str, ...]) -> None:
    unknown = [value for value in values if value not in choices]
    if unknown or not values:
        raise OptionError(
            f"MWAM's {name} is {', '.join(map(repr, unknown)) or 'empty'}. Choose from {', '.join(choices)}."
        )
