"""Errors of a run, each with a message for the user."""


class Failure(Exception):  # noqa: N818 (describes the outcome of a run)
    """A run failed. The message gives the reason and what to do."""


class Unreachable(Failure):
    """The service does not respond at the address."""


class Refused(Failure):
    """The service or the command line refused the run. `status` is the service's HTTP status, or 0."""

    status: int = 0


class Stopped(Failure):
    """The user cancelled the run."""


class NotAllowed(Failure):
    """Volumes would have left the machine without consent."""
