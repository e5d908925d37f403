"""Join a Ray cluster and start actors on it.

Ray is an optional dependency, imported when a cluster is requested.
"""

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from brats_mm.domain.options import option
from brats_mm.errors import OptionError, extract_first_line

WORKERS = "workers"
"""Heading of the options about workers."""

_NO_CLOUD = {"http_proxy": "http://127.0.0.1:9", "no_proxy": "127.0.0.1,localhost"}
"""Environment without proxies. A new cluster queries its cloud provider over HTTP, and an unreachable proxy blocks it.
"""


@dataclass(frozen=True)
class ActorShare:
    """Resources that Ray reserves for an actor."""

    cores: float = option(2, "CPU cores per worker on the cluster", group=WORKERS, name="ray_cores", metavar="N")
    gpus: float = option(
        0, "GPUs per worker on the cluster, which may be a fraction", group=WORKERS, name="ray_gpus", metavar="N"
    )

    @property
    def threads(self) -> int:
        """Number of compute threads."""
        return max(1, int(self.cores))


def require_ray() -> None:
    """Raise an OptionError if Ray is not installed."""
    if find_spec("ray") is None:
        raise OptionError('Ray is not installed. Run: pip install "brats-mm[ray]", or omit --ray.')


@contextmanager
def connect(address: str) -> Iterator[None]:
    """Connect to a cluster. An existing connection is reused and not closed.

    Args:
        address: `auto` for the cluster of this machine, `local` for a new one on this machine, or HOST:PORT.

    Raises:
        OptionError: Ray is not installed, or the cluster cannot be joined.
    """
    require_ray()
    import ray

    if ray.is_initialized():
        yield
        return
    try:
        _check_reachable(address)
        started: dict[str, Any] = {"include_dashboard": False} if address == "local" else {}
        with _keep_sigterm_handler(), _set_environment(_NO_CLOUD if started else {}):
            ray.init(address=address, log_to_driver=False, configure_logging=False, namespace="brats-mm", **started)
    except Exception as error:  # (Ray raises plain ones as well)
        raise OptionError(
            f"There is no Ray cluster at {address!r} for this program ({extract_first_line(error)}). Start one with "
            "`ray start --head` and provide its address, or omit --ray. If it requires a token, set "
            "RAY_AUTH_MODE=token."
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


def start_actor(kind: Callable[..., object], share: ActorShare, *arguments: object, calls: int = 1) -> Any:
    """Request an actor. Ray places it once resources are free.

    Args:
        kind: class of the actor.
        share: resources of the actor.
        arguments: arguments of the class.
        calls: number of methods that may run concurrently.
    """
    import ray

    remote: Any = ray.remote(kind)
    resources = {"num_cpus": share.cores, "num_gpus": share.gpus, "max_concurrency": calls}
    return remote.options(**resources).remote(*arguments)


def set_compute_threads(threads: int) -> None:
    """Set the number of compute threads of an actor, before it imports numerical libraries. Ray's default is 1."""
    os.environ["OMP_NUM_THREADS"] = str(threads)


@contextmanager
def _keep_sigterm_handler() -> Iterator[None]:
    """Keep this program's SIGTERM handler, because Ray's would end the process."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _set_environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables for processes that are started inside the block."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _check_reachable(address: str) -> None:
    """Raise an OSError if nothing listens at the address. Ray would retry for minutes."""
    host, _, port = address.rpartition(":")
    if host and port.isdecimal() and "/" not in host:
        socket.create_connection((host, int(port)), timeout=10).close()
