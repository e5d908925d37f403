"""Structured logs: one JSON object per line with the job's ID, without file names or image data."""

import json
import logging
import sys
import time
from contextlib import suppress

logger = logging.getLogger("brats_mm_service")
_server_logger = logging.getLogger("uvicorn")

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


class JsonLines(logging.Formatter):
    """Format a log record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        when = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z"
        values = getattr(record, "values", {})
        if record.exc_info and record.exc_info[0] is not None:  # no traceback, which could quote the input
            values = {**values, "error": record.exc_info[0].__name__}
        return json.dumps({"time": when, "level": record.levelname.lower(), "event": record.getMessage(), **values})


class StandardError(logging.Handler):
    """Log to the current standard error, because the original stream may be closed before the last thread logs."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line, or drop it if the stream is closed."""
        with suppress(OSError, ValueError):
            sys.stderr.write(self.format(record) + "\n")
            sys.stderr.flush()


def log(event: str, *, level: str = "info", **values: object) -> None:
    """Log an event. `values` must not contain patient data."""
    logger.log(_LEVELS[level], event, extra={"values": values})


def start_logging(*, verbose: bool) -> None:
    """Send the logs of the service and of uvicorn to standard error."""
    handler = StandardError()
    handler.setFormatter(JsonLines())
    for target, level in ((logger, logging.DEBUG if verbose else logging.INFO), (_server_logger, logging.WARNING)):
        target.handlers[:] = [handler]
        target.setLevel(level)
        target.propagate = False
