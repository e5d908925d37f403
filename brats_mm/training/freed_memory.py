"""Freed memory is kept for the next layer instead of being given back to the system, for training on CPUs.

glibc gives each activation of some megabytes a mapping of its own and returns it when it is freed, so the kernel clears
the same pages anew in every layer: a third of a step. (jemalloc and tcmalloc have settings for it; this needs neither.)
"""

import ctypes
from collections.abc import Mapping

import torch

# Names of <malloc.h>; the second settings are glibc's defaults, which it does not tell.
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4
KEEPING = {M_MMAP_MAX: 0, M_TRIM_THRESHOLD: 2**31 - 1, M_TOP_PAD: 2**28}
AS_AT_START = {M_MMAP_MAX: 65536, M_TRIM_THRESHOLD: 2**17, M_TOP_PAD: 2**17}


def keep_freed_memory(device: str | torch.device) -> bool:
    """From now on, this process keeps what it frees, until `give_freed_memory_back`.

    Its peak is a little higher by that (a sixth in float32, where it was measured), and what it keeps is no other
    program's. Blocks of ever new sizes would leave gaps that add up; those of a training are the same in every step.

    Args:
        device: where is trained; other devices than the CPU have allocators of their own.

    Returns:
        Whether this was done: it is not on other devices, and where the C library is not glibc.
    """
    return torch.device(device).type == "cpu" and _set(KEEPING)


def give_freed_memory_back(device: str | torch.device) -> bool:
    """The end of `keep_freed_memory` on that device: glibc's fixed defaults, and what was kept goes to the system.

    Returns:
        Whether this was done; it is not where nothing was kept, on other devices and without glibc.
    """
    if torch.device(device).type != "cpu" or not _set(AS_AT_START):
        return False
    ctypes.CDLL(None).malloc_trim(0)
    return True


def _set(settings: Mapping[int, int]) -> bool:
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # musl has none; Windows cannot name the program itself
        return False
    return all(mallopt(name, value) for name, value in settings.items())
