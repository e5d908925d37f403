"""Refuse to measure on a busy machine, and describe the machine in the results of a benchmark."""

import argparse
import importlib.metadata
import os
import platform
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

MOST_LOAD = 0.5
"""Largest load average of the last minute at which a benchmark starts."""


def parse(parser: argparse.ArgumentParser, arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the options of a benchmark, with `--force`, and stop unless the machine is idle.

    Returns:
        The options, with the description of the machine as `machine`.
    """
    parser.add_argument("--force", action="store_true", help="measure even if the machine is busy")
    options = parser.parse_args(arguments)
    options.machine = describe()
    load = options.machine["load_average"]
    if load is not None and load > MOST_LOAD and not options.force:
        parser.error(
            f"The load average is {load:.2f}, and a benchmark needs {MOST_LOAD} or less. End other programs and wait a "
            "minute, or add --force."
        )
    return options


def describe() -> dict[str, Any]:
    """Return processor, cores, versions, date, and the load average before the benchmark."""
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "torch": _version("torch"),
        "openvino": _version("openvino"),
        "date": time.strftime("%Y-%m-%d %H:%M"),
        "load_average": load_average(),
    }


def load_average() -> float | None:
    """Return the load average of the last minute, or None if the system has none."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def processor() -> str:
    """Return the name of the processor."""
    info = Path("/proc/cpuinfo")
    if sys.platform == "linux" and info.is_file():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
