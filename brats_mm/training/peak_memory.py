"""Peak memory of a stretch of a program, and a description of the device."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def reset_peak(device: str | torch.device) -> None:
    """Start a measurement. On a CPU this needs Linux. On other systems, the peak is that of the whole process."""
    if torch.device(device).type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    with suppress(OSError):
        _CLEAR.write_text("5", encoding="ascii")


def measure_peak_bytes(device: str | torch.device) -> int | None:
    """Return the peak memory since `reset_peak` in bytes.

    Returns:
        On CUDA the memory that PyTorch reserved on the GPU, otherwise the memory of this process. None if the system
        does not report it.
    """
    if torch.device(device).type == "cuda":
        return int(torch.cuda.max_memory_reserved(device))
    try:
        lines = _STATUS.read_text(encoding="ascii").splitlines()
    except OSError:
        return _measure_whole_process()
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), None)


def _measure_whole_process() -> int | None:
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if os.uname().sysname == "Darwin" else peak * 1024)


def describe_device(device: str | torch.device) -> dict[str, Any]:
    """Describe a device by name and memory in bytes, and a CPU by its threads."""
    torch_device = torch.device(device)
    if torch_device.type == "cuda":
        properties = torch.cuda.get_device_properties(torch_device)
        return {"device": str(torch_device), "name": properties.name, "memory_bytes": int(properties.total_memory)}
    facts: dict[str, Any] = {"device": str(torch_device), "threads": torch.get_num_threads()}
    with suppress(AttributeError, OSError, ValueError):
        facts["memory_bytes"] = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return facts
