"""What can go wrong, each with a sentence for the person who meets it."""


class Failure(Exception):  # noqa: N818 (what came of a run)
    """Nothing came of a run; the message says why and what to do."""


class Unreachable(Failure):
    """There is no service at the address."""


class Refused(Failure):
    """The service or the command line said why it cannot; `status` is the service's, 0 where there is none."""

    status: int = 0


class Stopped(Failure):
    """The person at the machine cancelled."""


class NotAllowed(Failure):
    """Volumes would have left the machine without consent."""
