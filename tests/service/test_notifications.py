"""Who waits for a job is told of its changes at once; nothing is polled."""

import asyncio
import threading
import time

from brats_mm_service.jobs.notifications import JobNotifications


def test_a_change_from_another_thread_ends_the_wait():
    async def waited():
        changes = JobNotifications()
        with changes.subscribe("a") as mine:
            threading.Timer(0.05, changes.notify, ["a"]).start()
            start = time.monotonic()
            await mine.wait(30)
            return time.monotonic() - start

    assert asyncio.run(waited()) < 10


def test_a_change_between_looking_and_waiting_is_not_missed():
    async def waited():
        changes = JobNotifications()
        with changes.subscribe("a") as mine:
            changes.notify("a")
            await asyncio.sleep(0.01)
            start = time.monotonic()
            await mine.wait(30)
            return time.monotonic() - start

    assert asyncio.run(waited()) < 10


def test_changes_of_other_jobs_and_old_ones_do_not_count():
    async def waited():
        changes = JobNotifications()
        with changes.subscribe("a") as mine:
            changes.notify("a")
            await asyncio.sleep(0.01)
            await mine.wait(30)
            changes.notify("b")
            start = time.monotonic()
            await mine.wait(0.05)
            return time.monotonic() - start

    assert asyncio.run(waited()) >= 0.04


def test_telling_nobody_or_one_whose_loop_is_closed_does_no_harm():
    changes, kept = JobNotifications(), []

    async def leave():
        kept.append(changes.subscribe("a"))
        kept[0].__enter__()

    changes.notify("a")
    asyncio.run(leave())
    changes.notify("a")
