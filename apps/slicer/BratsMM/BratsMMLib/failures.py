"""What can go wrong, each with a sentence for the person who meets it."""


class Failure(Exception):  # noqa: N818 (what came of a run)
    """A run failed. The message gives the reason and what to do."""


class Unreachable(Failure):
    """There is no service at the address."""


class Refused(Failure):
    """The service or the command line refused the run. `status` is the service's HTTP status, or 0."""

    status: int = 0


class Stopped(Failure):
    """The person at the machine cancelled."""


class NotAllowed(Failure):
    """Volumes would have left the machine without consent."""
