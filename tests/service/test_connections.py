"""Idle and slow connections do not block other callers.

BRATS_MM_IDLE_CONNECTIONS sets their number (default: 2,000).
"""

import contextlib
import http.client
import os
import select
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from brats_mm_service.auth.tokens import Tokens
from brats_mm_service.service import open_database
from brats_mm_service.settings import ConnectionLimits
from tests.fakes.crowding import OPENINGS, crowd
from tests.fakes.serving import LONGEST_S, serving, small_settings, until
from tests.fakes.stopwatch import stopwatch

CROWD = int(os.environ.get("BRATS_MM_IDLE_CONNECTIONS", "2000"))
CROWDING = Path(__file__).resolve().parents[1] / "fakes" / "crowding.py"


@pytest.mark.slow
def test_caller_is_served_among_idle_and_slow_connections(tmp_path):
    Tokens(open_database(tmp_path)).create("ann")
    with serving(small_settings(tmp_path, require_tokens=True)) as client:
        usual = _slowest(client.base_url, 20)
        command = [sys.executable, str(CROWDING), str(client.base_url.port), str(CROWD)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as others:
            assert others.stdout.readline() == b"crowded\n"
            slowest = _slowest(client.base_url, 20)
            others.stdin.close()
        print(f"{CROWD} connections: slowest answer {slowest:.3f} s, without them {usual:.3f} s")  # noqa: T201
        assert slowest < 1.0


def test_idle_connections_are_closed(tmp_path):
    limits = ConnectionLimits(waiting_s=1.0, body_s=1.0)
    with serving(small_settings(tmp_path, connections=limits)) as client, crowd(client.base_url.port, 12) as result:
        start = time.monotonic()
        until(lambda: all(_is_closed(one) for one in result))
        print(f"12 connections closed after {time.monotonic() - start:.1f} s")  # noqa: T201


def test_incomplete_form_times_out(tmp_path):
    settings = small_settings(tmp_path, require_tokens=True, connections=ConnectionLimits(body_s=0.5))
    with (
        serving(settings) as client,
        socket.create_connection(("127.0.0.1", client.base_url.port), timeout=LONGEST_S) as one,
    ):
        one.sendall(OPENINGS[3])
        assert one.recv(100).startswith(b"HTTP/1.1 408")


def test_oldest_waiting_connection_is_closed_for_new_ones(tmp_path):
    limits = ConnectionLimits(waiting=4, waiting_per_peer=3)
    with serving(small_settings(tmp_path, connections=limits)) as client, crowd(client.base_url.port, 8) as result:
        until(lambda: sum(_is_closed(one) for one in result) >= 5)
        assert client.get("/healthz").status_code == 200


def test_too_many_concurrent_requests_are_rejected_with_retry_time(tmp_path):
    with serving(small_settings(tmp_path, connections=ConnectionLimits(active=0))) as client:
        answer = client.get("/healthz")
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")


def test_one_caller_cannot_take_all_slots(tmp_path):
    """Slow uploads and event streams are limited per caller."""
    database = open_database(tmp_path)
    ann, bob = (Tokens(database).create(name)[1] for name in ("ann", "bob"))
    database.close()
    settings = small_settings(tmp_path, require_tokens=True)
    excess = settings.uploads.at_once - settings.uploads.at_once_per_caller
    with serving(settings) as client, contextlib.ExitStack() as stack:
        held = [stack.enter_context(_begin_upload(client.base_url.port, ann)) for _ in range(settings.uploads.at_once)]
        # Requests that start together take the slots in any order.
        answered = until(lambda: len(ready := select.select(held, [], [], 0)[0]) >= excess and ready)
        assert [one.recv(12) for one in answered] == [b"HTTP/1.1 429"] * excess
        kind = {"Authorization": f"Bearer {bob}"}
        other = client.post("/v1/jobs", files={"t1": ("t1.nii.gz", b"x")}, headers=kind)
        assert other.status_code == 415, "bob's upload is received, and refused for what it is"


@pytest.mark.parametrize(("total", "per_caller"), [(3, 2)])
def test_slots_are_limited_in_total_and_per_caller(total, per_caller):
    from brats_mm_service.uploads.slots import NoSlot, Slots

    slots = Slots("uploads", total, per_caller)
    with contextlib.ExitStack() as stack:
        stack.enter_context(slots.held("ann"))
        stack.enter_context(slots.held("ann"))
        with pytest.raises(NoSlot, match="You have 2 uploads active"):
            stack.enter_context(slots.held("ann"))
        stack.enter_context(slots.held("bob"))
        with pytest.raises(NoSlot, match="3 uploads are active"):
            stack.enter_context(slots.held("cem"))
    slots.check("ann")


def _begin_upload(port, token):
    one = socket.create_connection(("127.0.0.1", port), timeout=LONGEST_S)
    head = f"POST /v1/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\nContent-Length: 100000\r\n"
    one.sendall(head.encode() + b"Content-Type: multipart/form-data; boundary=b\r\n\r\n--b\r\n")
    return one


def _slowest(url, times):
    """Return the seconds of the slowest response, without the time in which other programs used the processor."""
    slowest = 0.0
    for _ in range(times):
        with (
            stopwatch() as watch,
            contextlib.closing(http.client.HTTPConnection(url.host, url.port, timeout=LONGEST_S)) as caller,
        ):
            caller.request("GET", "/healthz")
            assert caller.getresponse().status == 200
        slowest = max(slowest, watch.own_s)
    return slowest


def _is_closed(one):
    one.setblocking(False)
    try:
        while data := one.recv(4096):
            assert data
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True
