"""Distributed training with one process per device, started by `torchrun`. Used by `configs/multi_gpu_train.json`."""

import logging
import os
from typing import Any

import torch
from monai.data.samplers import DistributedSampler
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import Dataset, Sampler, SequentialSampler

from brats_mm.errors import TrainingError
from brats_mm.training.warm_start import move_to_device


def choose_local_device() -> torch.device:
    """Return the GPU of this process, or the CPU if there is no GPU.

    Raises:
        TrainingError: there are fewer GPUs than processes.
    """
    if not torch.cuda.is_available():
        return torch.device("cpu")
    number = int(os.environ.get("LOCAL_RANK", "0"))
    if number >= torch.cuda.device_count():
        raise TrainingError(
            f"More processes were started than the {torch.cuda.device_count()} GPUs of this machine. Run torchrun with "
            f"--nproc_per_node={torch.cuda.device_count()}."
        )
    return torch.device("cuda", number)


def join() -> None:
    """Join the process group. Disables logging in all processes but the first.

    Raises:
        TrainingError: the process was not started by torchrun.
    """
    if "RANK" not in os.environ:
        raise TrainingError(
            "multi_gpu_train.json needs torchrun: torchrun --nproc_per_node=N -m monai.bundle run --config_file "
            "\"['configs/train.json','configs/multi_gpu_train.json']\". On one device, omit that config."
        )
    device = choose_local_device()
    if device.type == "cuda":
        torch.cuda.set_device(device)
    if not distributed.is_initialized():
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    if distributed.get_rank() > 0:
        logging.disable(logging.INFO)


def leave() -> None:
    """Leave the process group."""
    if distributed.is_initialized():
        distributed.destroy_process_group()


def wrap_ddp(network: nn.Module, device: str | torch.device) -> DistributedDataParallel:
    """Wrap a network on this process's device for distributed training.

    Searches for unused parameters in each step, because experts of missing sequences are skipped.
    """
    placed = move_to_device(network, device)
    device_ids = [device] if torch.device(device).type == "cuda" else None
    return DistributedDataParallel(placed, device_ids=device_ids, find_unused_parameters=True)


def make_validation_sampler(dataset: Dataset[Any]) -> Sampler[int]:
    """Return a sampler of the cases that this process validates, without repetition.

    With fewer cases than processes, each process validates all cases, because a process without cases would have no
    metric to contribute. The mean is the same.
    """
    cases: Any = dataset
    if len(cases) < distributed.get_world_size():
        return SequentialSampler(cases)
    share: Sampler[int] = DistributedSampler(cases, even_divisible=False, shuffle=False)
    return share


def is_untracked(folder: str | None) -> bool:
    """Return whether this process does not write curves, because they are disabled or another process writes them."""
    return not folder or os.environ.get("RANK", "0") != "0"
