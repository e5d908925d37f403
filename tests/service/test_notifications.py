"""Waiting callers are notified of job changes immediately."""

import asyncio
import threading
import time

from brats_mm_service.jobs.notifications import JobNotifications
from tests.fakes.event_loop import run_coroutine


def test_change_from_other_thread_ends_wait():
    async def waited():
        changes = JobNotifications()
        with changes.subscribe("a") as mine:
            threading.Timer(0.05, changes.notify, ["a"]).start()
            start = time.monotonic()
            await mine.wait(600)
            return time.monotonic() - start

    assert run_coroutine(waited()) < 300


def test_change_between_check_and_wait_is_not_missed():
    async def waited():
        changes = JobNotifications()
        with changes.subscribe("a") as mine:
            changes.notify("a")
            await asyncio.sleep(0.01)
            start = time.monotonic()
            await mine.wait(600)
            return time.monotonic() - start

    assert run_coroutine(waited()) < 300


def test_ignores_other_jobs_and_old_changes():
    async def waited():
        changes = JobNotifications()
        with changes.subscribe("a") as mine:
            changes.notify("a")
            await asyncio.sleep(0.01)
            await mine.wait(600)
            changes.notify("b")
            start = time.monotonic()
            await mine.wait(0.05)
            return time.monotonic() - start

    assert run_coroutine(waited()) >= 0.04


def test_notifying_no_one_or_closed_loop_is_harmless():
    changes, kept = JobNotifications(), []

    async def leave():
        kept.append(changes.subscribe("a"))
        kept[0].__enter__()

    changes.notify("a")
    run_coroutine(leave())
    changes.notify("a")


def test_coroutine_runs_in_thread_with_running_loop():
    """Playwright leaves a running loop in this thread after the browser tests."""

    async def inner():
        return 7

    async def outer():
        return run_coroutine(inner())

    assert run_coroutine(outer()) == 7
