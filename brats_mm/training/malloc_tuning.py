"""Tune glibc's malloc for training on CPUs, so that freed memory is reused instead of returned to the system.

By default, glibc maps each large activation separately and unmaps it when it is freed. The kernel then clears the same
pages for every layer, which takes a third of a training step. This needs neither jemalloc nor tcmalloc.
"""

import ctypes
from collections.abc import Mapping

import torch

# Names from <malloc.h>. glibc cannot be asked for its defaults.
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4
TUNED = {M_MMAP_MAX: 0, M_TRIM_THRESHOLD: 2**31 - 1, M_TOP_PAD: 2**28}
DEFAULTS = {M_MMAP_MAX: 65536, M_TRIM_THRESHOLD: 2**17, M_TOP_PAD: 2**17}


def tune_malloc(device: str | torch.device) -> bool:
    """Keep freed memory in this process until `restore_malloc`.

    Raises the peak memory, by a sixth in a float32 training. Suits programs whose allocations repeat, as in training.
    Allocations of many different sizes would fragment the memory.

    Args:
        device: device of the training. Only the CPU is affected.

    Returns:
        True if malloc was tuned. False on other devices and with other C libraries than glibc.
    """
    return torch.device(device).type == "cpu" and _set(TUNED)


def restore_malloc(device: str | torch.device) -> bool:
    """Restore glibc's defaults and return the kept memory to the system.

    Args:
        device: device of the training. Only the CPU is affected.

    Returns:
        True if the defaults were restored. False on other devices and with other C libraries than glibc.
    """
    if torch.device(device).type != "cpu" or not _set(DEFAULTS):
        return False
    ctypes.CDLL(None).malloc_trim(0)
    return True


def _set(settings: Mapping[int, int]) -> bool:
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # musl has no mallopt, and Windows cannot open the program itself
        return False
    return all(mallopt(name, value) for name, value in settings.items())
