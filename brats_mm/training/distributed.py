"""Training by several processes, one a device, started by `torchrun`; `configs/multi_gpu_train.json` names these."""

import logging
import os
from typing import Any

import torch
from monai.data.samplers import DistributedSampler
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import Dataset, Sampler, SequentialSampler

from brats_mm.errors import TrainingError
from brats_mm.training.warm_start import on_device


def local_device() -> torch.device:
    """The process's own GPU; the CPU where there is none.

    Raises:
        TrainingError: there are fewer GPUs than processes.
    """
    if not torch.cuda.is_available():
        return torch.device("cpu")
    number = int(os.environ.get("LOCAL_RANK", "0"))
    if number >= torch.cuda.device_count():
        message = (
            f"This machine has {torch.cuda.device_count()} GPUs, but more processes were started. Give torchrun "
            f"--nproc_per_node={torch.cuda.device_count()}."
        )
        raise TrainingError(message)
    return torch.device("cuda", number)


def join() -> None:
    """Join the other processes; only the first one goes on telling what happens.

    Raises:
        TrainingError: the process was not started by torchrun.
    """
    if "RANK" not in os.environ:
        message = (
            "multi_gpu_train.json needs torchrun: torchrun --nproc_per_node=N -m monai.bundle run --config_file "
            "\"['configs/train.json','configs/multi_gpu_train.json']\". On one device, leave it out."
        )
        raise TrainingError(message)
    device = local_device()
    if device.type == "cuda":
        torch.cuda.set_device(device)
    if not distributed.is_initialized():
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    if distributed.get_rank() > 0:
        logging.disable(logging.INFO)


def leave() -> None:
    """Part from the other processes."""
    if distributed.is_initialized():
        distributed.destroy_process_group()


def shared(network: nn.Module, device: str | torch.device) -> DistributedDataParallel:
    """The network on this process's device, its gradients averaged over all processes.

    Parameters without a gradient are looked for in each step: experts of missing sequences are not run.
    """
    placed = on_device(network, device)
    device_ids = [device] if torch.device(device).type == "cuda" else None
    return DistributedDataParallel(placed, device_ids=device_ids, find_unused_parameters=True)


def validation_share(dataset: Dataset[Any]) -> Sampler[int]:
    """Which cases this process validates: its share of them, without repeats.

    Where there are fewer cases than processes, each process validates them all, since a process without any would have
    no metric to bring; their mean is the same.
    """
    cases: Any = dataset
    if len(cases) < distributed.get_world_size():
        return SequentialSampler(cases)
    share: Sampler[int] = DistributedSampler(cases, even_divisible=False, shuffle=False)
    return share


def untracked(folder: str | None) -> bool:
    """Whether this process writes no curves: none were asked for, or another process writes them."""
    return not folder or os.environ.get("RANK", "0") != "0"
