"""Train a cross-sequence expert and fine-tune the modality experts on a list of cases, and write a checkpoint."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from brats_mm.data.json_file import read_json
from brats_mm.domain.availability import SUBSETS
from brats_mm.errors import BundleError, CaseError, OptionError, TrainingError, extract_first_line
from brats_mm.io.bundle import compute_sha256, default_bundle
from brats_mm.io.durable import write_json
from brats_mm.networks.cross_mixture import CrossSequenceMixture
from brats_mm.networks.cross_sequence import CrossSequenceExpert
from brats_mm.networks.dmome import DMoME
from brats_mm.networks.presets import cross_expert, cross_sequence, simmlm
from brats_mm.networks.split_cross_sequence import OTHERS, T1CE_COMBINED, SplitCrossSequenceExpert, is_split, split
from brats_mm.training.checkpoints import atomic_save
from brats_mm.training.record import Record, describe_differences, make_record, make_record_path
from brats_mm.training.timed.assembly import (
    assemble,
    average_window_gate_values,
    build_subvoxel_experts,
    observe_gate_values,
)
from brats_mm.training.timed.crops import CropSettings
from brats_mm.training.timed.experts import ExpertEnsemble, run_expert_step
from brats_mm.training.timed.loop import LoopSettings, Step, make_cross_sequence_step, train
from brats_mm.training.timed.options import TimedTraining
from brats_mm.training.timed.packing import PackedCase, load_packed, pack_cases
from brats_mm.training.timed.pretraining import Reconstruction, extract_expert_state, run_reconstruction_step
from brats_mm.training.timed.views import ViewSettings, list_subsets

GATE_CASES = 16
"""Number of cases on which the window gate of a SimMLM mixture is observed."""

EXPERT_SIDE = 144
"""Side in voxels of the crops for the modality experts. They see half as many lattice voxels along each axis."""

EXPERT_CROPS = CropSettings(kind_shares=(0.4, 0.2, 0.2, 0.2))
"""The modality experts decide where tumour is suspected, so they see more normal brain than the cross expert."""

VIEWS = {
    T1CE_COMBINED: ViewSettings(full_share=0.35, single_share=0.0, expert=T1CE_COMBINED),
    OTHERS: ViewSettings(full_share=0.2, single_share=0.45, expert=OTHERS),
}
"""Subsets that are drawn while only one of two cross-sequence experts is trained."""

RECORD = "training.json"
"""File with the options and cases of the training in a folder."""

FREE_OPTIONS = frozenset({"minutes", "expert_minutes", "threads", "joint_shares", "side"})
"""Options that may change when a training is resumed."""

STATE = "state.pt"
"""File with the state of one training."""

Weighted = tuple[PackedCase, float]
"""A case and its frequency, relative to a case without the key `frequency`."""

Network = TypeVar("Network", bound=nn.Module)


def train_cross(
    items: Sequence[Mapping[str, Any]],
    folder: Path,
    options: TimedTraining,
    *,
    unlabelled: Sequence[Mapping[str, Any]] = (),
    on_case: Callable[[int, int], None] = lambda done, total: None,
) -> Path:
    """Pack the cases, train or resume, and write a checkpoint.

    Args:
        items: labelled cases, from `data.datalist.load_training_items`.
        folder: folder for packed cases, the state of the training and the checkpoint.
        options: options of the training.
        unlabelled: further cases for the masked reconstruction. Their label maps are not used.
        on_case: called with the number of packed cases and the total.

    Returns:
        `model.pt` of the whole mixture, or `weights.pt` of the cross-sequence expert if neither
        `options.initial_weights` nor `options.experts` is given.

    Raises:
        BundleError: a checkpoint does not hold the expected weights.
        CaseError: a case has no valid frequency, or no case can be drawn.
        OptionError: two experts would be pretrained, or `options.only` chooses one of a single expert.
        TrainingError: the folder holds a training with other options or cases.
    """
    frequencies = [_read_frequency(item) for item in (*items, *unlabelled)]
    initial, mixture = _load_start(options)
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    _check_same_training(folder, items, unlabelled, options)
    paths = []
    total = len(items) + len(unlabelled)
    for number, item in enumerate([*items, *map(_drop_label, unlabelled)], start=1):
        place = folder / ("packed" if number <= len(items) else "unlabelled")
        paths += pack_cases([item], place, spacing_mm=SPACING_MM)
        on_case(number, total)
    packed = [(load_packed(path), frequency) for path, frequency in zip(paths, frequencies, strict=True)]
    cases = packed[: len(items)]
    network = cross_expert() if initial is None else initial.cross
    if isinstance(network, CrossSequenceExpert):
        if options.pretrain_minutes > 0:
            _pretrain(network, packed, folder / "pretraining", options)
        network = split(network) if options.split_by_t1ce else network
    weights = _train_cross_expert(network, cases, folder, options)
    state = torch.load(weights, map_location="cpu", weights_only=True)
    if initial is not None:
        if options.only is not None:
            state = {**network.state_dict(), **{f"{options.only}.{name}": value for name, value in state.items()}}
        joined = _continue(initial, network, state, cases, folder, options)
    elif mixture is not None:
        modality_experts: Mapping[str, nn.Module] = build_subvoxel_experts(mixture)
        complete = [case for case, _ in cases if case.available.all()][:GATE_CASES]
        values = average_window_gate_values(mixture, complete or [cases[0][0]])
        if options.expert_minutes > 0:
            modality_experts, values = _fine_tune_experts(modality_experts, values, cases, folder, options)
        joined = assemble(modality_experts, values, state, options.joint_shares)
    else:
        return weights
    model = folder / "model.pt"
    atomic_save(joined.state_dict(), model)
    write_json(_make_record(joined, options, folder), make_record_path(model), indent=2)
    return model


def _make_record(joined: CrossSequenceMixture, options: TimedTraining, folder: Path) -> Record:
    """Return the record of the mixture: the method's config, and the options and cases of the training."""
    method = "split_cross_sequence" if isinstance(joined.cross, SplitCrossSequenceExpert) else "cross_sequence"
    path = default_bundle() / "configs" / "methods" / f"{method}.json"
    config = read_json(path, BundleError, "Reinstall brats-mm.")
    cases = read_json(folder / RECORD, TrainingError, "Delete it, and run the training again.")["cases"]
    network = {name: config[name] for name in ("network_def", "spacing_mm")}
    return make_record({**_to_plain(options), "cases": cases, **network}, config)


def _to_plain(options: TimedTraining) -> dict[str, Any]:
    return dict(json.loads(json.dumps(asdict(options), default=str)))


SPACING_MM = 1.0
"""Voxel size of all timed training runs."""


def _check_same_training(
    folder: Path, items: Sequence[Mapping[str, Any]], unlabelled: Sequence[Mapping[str, Any]], options: TimedTraining
) -> None:
    """Compare options and cases with those of the training that the folder holds, and record them."""
    settings = {
        **{name: value for name, value in _to_plain(options).items() if name not in FREE_OPTIONS},
        **{name: _describe_file(getattr(options, name)) for name in ("experts", "initial_weights")},
        "cases": _describe_cases(items),
        "pretraining cases": _describe_cases(unlabelled) if unlabelled else None,
    }
    path = folder / RECORD
    if path.is_file() and any(folder.rglob(STATE)):
        former = read_json(path, TrainingError, "Delete it to resume with the given options.")
        # Pretraining can be extended until the training that follows has started.
        free = set() if (folder / STATE).is_file() else {"pretrain_minutes"}
        names = sorted({*settings, *former} - free)
        before, now = ({name: values.get(name) or "unset" for name in names} for values in (former, settings))
        differences = describe_differences(before, now, names)
        if differences:
            raise TrainingError(
                f"{folder} holds a training with other options: {'; '.join(differences)}. Resume with the earlier "
                "options, or choose another folder."
            )
    folder.mkdir(parents=True, exist_ok=True)
    write_json(settings, path, indent=2)


_LISTED = ("name", "label_scheme", "orientation", "frequency")
"""Keys of a case's entry that must not change when a training is resumed."""


def _describe_cases(items: Sequence[Mapping[str, Any]]) -> str:
    entries = sorted(
        json.dumps([{key: item.get(key) for key in _LISTED}, sorted(item["image"])], sort_keys=True) for item in items
    )
    return f"{len(entries)} with hash {hashlib.sha256(json.dumps(entries).encode()).hexdigest()[:12]}"


def _describe_file(path: Path | None) -> str | None:
    return None if path is None else f"{path.name} with hash {compute_sha256(path)[:12]}"


def _load_start(options: TimedTraining) -> tuple[CrossSequenceMixture | None, DMoME | None]:
    """Return the mixture to continue, and the SimMLM mixture to join the new expert with."""
    initial = None if options.initial_weights is None else _load_initial(options.initial_weights)
    if initial is not None and isinstance(initial.cross, SplitCrossSequenceExpert) and options.pretrain_minutes > 0:
        raise OptionError(
            f"{options.initial_weights} holds two cross-sequence experts, and --pretrain-minutes pretrains one. "
            "Omit --pretrain-minutes."
        )
    if options.experts is None:
        return initial, None
    return initial, _load(simmlm(), _read_state(options.experts), options.experts, "a SimMLM mixture")


def _drop_label(item: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in item.items() if key not in ("label", "label_scheme")}


def _pretrain(network: CrossSequenceExpert, cases: Sequence[Weighted], folder: Path, options: TimedTraining) -> None:
    weights = _train(
        Reconstruction(network),
        cases,
        folder,
        replace(_make_loop_settings(options), minutes=options.pretrain_minutes),
        crops=CropSettings().scale_intensity_changes(options.intensity_changes),
        step=run_reconstruction_step,
    )
    network.cpu().load_state_dict(extract_expert_state(torch.load(weights, map_location="cpu", weights_only=True)))


def _read_frequency(item: Mapping[str, Any]) -> float:
    """Return how often a case is drawn, relative to a case without the key `frequency`."""
    value = item.get("frequency", 1)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
        raise CaseError(f"The case {item['name']} has the frequency {value!r}. Use a number from 0 in the list.")
    return float(value)


def _train_cross_expert(
    network: CrossSequenceExpert | SplitCrossSequenceExpert,
    cases: Sequence[Weighted],
    folder: Path,
    options: TimedTraining,
) -> Path:
    views, trained = ViewSettings(), network
    if options.only is not None:
        if not isinstance(network, SplitCrossSequenceExpert):
            raise OptionError(
                f"{options.initial_weights} has one cross-sequence expert, and --only chooses one of two. Add "
                "--split-by-t1ce."
            )
        views, trained = VIEWS[options.only], network.get_submodule(options.only)  # type: ignore[assignment]
    return _train(
        trained,
        [pair for pair in cases if list_subsets(torch.from_numpy(pair[0].available), views.expert)],
        folder,
        replace(
            _make_loop_settings(options),
            views=views,
            optimizer=options.optimizer,
            enhancement_boost=options.enhancement_boost,
        ),
        crops=CropSettings().scale_intensity_changes(options.intensity_changes),
        step=make_cross_sequence_step(inside_weight=options.inside_weight, distillation=options.distill),
    )


def _train(
    network: nn.Module,
    cases: Sequence[Weighted],
    folder: Path,
    settings: LoopSettings,
    *,
    crops: CropSettings,
    step: Step,
) -> Path:
    """Train on the cases with a frequency above 0.

    Raises:
        CaseError: there is none.
    """
    drawn = [(case, frequency) for case, frequency in cases if frequency > 0]
    if not drawn:
        raise CaseError("No case of the list can be drawn. Give a case with suitable sequences a frequency above 0.")
    packed, frequencies = zip(*drawn, strict=True)
    return train(network, packed, frequencies, folder, settings, crops=crops, step=step, device=_choose_device())


def _make_loop_settings(options: TimedTraining) -> LoopSettings:
    settings = LoopSettings(options.minutes, seed=options.seed)
    return settings if options.side is None else replace(settings, sides=((0.0, options.side),))


def _fine_tune_experts(
    experts: Mapping[str, nn.Module],
    values: Tensor,
    cases: Sequence[Weighted],
    folder: Path,
    options: TimedTraining,
) -> tuple[Mapping[str, nn.Module], Tensor]:
    """Return the fine-tuned experts and their gate values (s, m, c). Start from the values of the full set."""
    network = ExpertEnsemble(experts, values[-1])
    settings = LoopSettings(
        options.expert_minutes,
        sides=((0.0, options.side or EXPERT_SIDE),),
        batch=1,
        learning_rate=6e-4,
        views=ViewSettings(full_share=1.0),
        seed=options.seed,
    )
    crops = EXPERT_CROPS.scale_intensity_changes(options.intensity_changes)
    weights = _train(network, cases, folder / "experts", settings, crops=crops, step=run_expert_step)
    network.cpu().load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    names = list(experts)
    tuned = {name: network.experts[name] for name in names}
    return tuned, network.gate.detach().expand(len(SUBSETS), -1, -1)


def _continue(
    initial: CrossSequenceMixture,
    network: CrossSequenceExpert | SplitCrossSequenceExpert,
    cross_state: Mapping[str, Tensor],
    cases: Sequence[Weighted],
    folder: Path,
    options: TimedTraining,
) -> CrossSequenceMixture:
    if options.expert_minutes <= 0:
        initial.cross = network
        initial.cpu().cross.load_state_dict(cross_state)
        return initial.eval()
    values = observe_gate_values(initial)
    experts, values = _fine_tune_experts(dict(initial.experts.items()), values, cases, folder, options)
    return assemble(experts, values, cross_state, options.joint_shares)


def _choose_device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _load_initial(path: Path) -> CrossSequenceMixture:
    state = _read_state(path)
    return _load(cross_sequence(split_by_t1ce=is_split(state, "cross.")), state, path, "a cross-sequence mixture")


def _read_state(path: Path) -> dict[str, Tensor]:
    try:
        return dict(torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:  # torch raises many types for a damaged file
        raise BundleError(f"{path} is not a checkpoint ({extract_first_line(error)}). Provide a model.pt.") from error


def _load(network: Network, state: Mapping[str, Tensor], path: Path, kind: str) -> Network:
    try:
        network.load_state_dict(state)
    except (RuntimeError, TypeError) as error:
        raise BundleError(
            f"{path} does not contain weights of {kind} ({extract_first_line(error)}). "
            "Provide the model.pt of such a network."
        ) from error
    return network.eval()
