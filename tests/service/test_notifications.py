"""Waiting callers are notified of job changes at once, without polling."""

import asyncio
import threading
import time

from brats_mm_service.jobs.notifications import JobNotifications
from tests.fakes.event_loop import run_coroutine


def test_a_change_from_another_thread_ends_the_wait():
    async def waited():
        changes = JobNotifications()
        with changes.subscribe("a") as mine:
            threading.Timer(0.05, changes.notify, ["a"]).start()
            start = time.monotonic()
            await mine.wait(600)
            return time.monotonic() - start

    assert run_coroutine(waited()) < 300


def test_a_change_between_looking_and_waiting_is_not_missed():
    async def waited():
        changes = JobNotifications()
        with changes.subscribe("a") as mine:
            changes.notify("a")
            await asyncio.sleep(0.01)
            start = time.monotonic()
            await mine.wait(600)
            return time.monotonic() - start

    assert run_coroutine(waited()) < 300


def test_changes_of_other_jobs_and_old_ones_do_not_count():
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


def test_notifying_no_one_or_a_closed_loop_does_no_harm():
    changes, kept = JobNotifications(), []

    async def leave():
        kept.append(changes.subscribe("a"))
        kept[0].__enter__()

    changes.notify("a")
    run_coroutine(leave())
    changes.notify("a")


def test_a_coroutine_runs_where_the_thread_has_a_running_loop():
    """Playwright leaves a running loop in this thread after the browser tests."""

    async def inner():
        return 7

    async def outer():
        return run_coroutine(inner())

    assert run_coroutine(outer()) == 7
