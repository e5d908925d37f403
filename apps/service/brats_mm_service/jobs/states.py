"""States of a job and the allowed transitions."""

from enum import Enum


class JobState(str, Enum):
    """State of a job. An accepted job ends in one of the last four."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


TRANSITIONS: dict[JobState, frozenset[JobState]] = {
    # Queued to failed: the files of the job are missing, or it was interrupted too many times.
    JobState.QUEUED: frozenset({JobState.RUNNING, JobState.FAILED, JobState.CANCELLED}),
    # Running to queued: the service was killed and has restarted.
    JobState.RUNNING: frozenset({JobState.DONE, JobState.FAILED, JobState.CANCELLED, JobState.QUEUED}),
    # Done to failed: a result no longer matches its record.
    JobState.DONE: frozenset({JobState.EXPIRED, JobState.FAILED}),
    JobState.FAILED: frozenset({JobState.EXPIRED}),
    JobState.CANCELLED: frozenset(),
    JobState.EXPIRED: frozenset(),
}

OPEN = frozenset({JobState.QUEUED, JobState.RUNNING})
"""States in which a job has not ended."""


def list_source_states(target: JobState) -> tuple[JobState, ...]:
    """Return the states from which a job can reach `target`."""
    return tuple(state for state in JobState if target in TRANSITIONS[state])
