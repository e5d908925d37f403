"""A local Ray cluster for tests that kill nodes. It also starts on a busy machine."""

import os
import signal
import socket
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

_TRIES = 8
_PORTS = ("metrics_agent_port", "metrics_export_port", "dashboard_agent_listen_port", "runtime_env_agent_port")


@contextmanager
def small_cluster():
    """Start a cluster with one node of two cores."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patched:
        for name in ("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"):
            patched.setenv(name, "1")
        patched.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patched.setenv("RAY_worker_niceness", "0")  # with Ray's default of 15, workers starve on a busy machine
        patched.setenv("RAY_agent_register_timeout_ms", "300000")
        made = again(lambda: Cluster(initialize_head=True, head_node_args={**small(), "include_dashboard": False}))
        yield made
        made.shutdown()


def second_node(cluster):
    """Add a node with two cores."""
    made = again(lambda: cluster.add_node(**small()))
    cluster.wait_for_nodes(timeout=300)
    return made


def small():
    """Return settings of a node. Fixed ports of its helpers shorten the start."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in _PORTS]
    ports = {name: one.getsockname()[1] for name, one in zip(_PORTS, sockets, strict=True)}
    for one in sockets:
        one.close()
    return {"num_cpus": 2, "object_store_memory": 80 * 2**20, **ports}


def again(start):
    """Retry a start of Ray, which gives up after half a minute and leaves its processes running."""
    for left in reversed(range(_TRIES)):
        before = _children()
        try:
            return start()
        except Exception as error:
            _end(_children() - before)
            if not left or "timed out" not in str(error):
                raise
    return None


def _children():
    return {int(pid) for path in Path("/proc/self/task").glob("*/children") for pid in path.read_text().split()}


def _end(processes):
    """End the processes of a failed start, which would slow down the next one."""
    for pid in processes:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(pid, 0)
