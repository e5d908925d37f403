"""The states of a job, and the only ways between them."""

from enum import Enum


class JobState(str, Enum):
    """Where a job stands. A job that was accepted ends in one of the last four."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


TRANSITIONS: dict[JobState, frozenset[JobState]] = {
    # Queued to failed: the files of the job are gone, or it was interrupted too often.
    JobState.QUEUED: frozenset({JobState.RUNNING, JobState.FAILED, JobState.CANCELLED}),
    # Running to queued: the service itself was killed meanwhile, and starts anew.
    JobState.RUNNING: frozenset({JobState.DONE, JobState.FAILED, JobState.CANCELLED, JobState.QUEUED}),
    # Done to failed: a result is not what was recorded any more.
    JobState.DONE: frozenset({JobState.EXPIRED, JobState.FAILED}),
    JobState.FAILED: frozenset({JobState.EXPIRED}),
    JobState.CANCELLED: frozenset(),
    JobState.EXPIRED: frozenset(),
}

OPEN = frozenset({JobState.QUEUED, JobState.RUNNING})
"""States in which a job will still change by itself."""


def sources_of(target: JobState) -> tuple[JobState, ...]:
    """The states from which a job may come to `target`."""
    return tuple(state for state in JobState if target in TRANSITIONS[state])
