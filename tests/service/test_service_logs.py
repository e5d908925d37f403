"""Log lines go to the current standard error."""

import io
import json
import logging
import sys

import pytest

from brats_mm_service.logs import log, logger, start_logging


@pytest.fixture
def restored():
    handlers, level, propagate = logger.handlers[:], logger.level, logger.propagate
    yield
    logger.handlers[:], logger.propagate = handlers, propagate
    logger.setLevel(level)


@pytest.mark.usefixtures("restored")
def test_log_uses_replaced_standard_error(monkeypatch):
    first, second = io.StringIO(), io.StringIO()
    monkeypatch.setattr(logging, "raiseExceptions", True)
    monkeypatch.setattr(sys, "stderr", first)
    start_logging(verbose=False)
    log("one", job="a")
    message = first.getvalue()
    first.close()
    monkeypatch.setattr(sys, "stderr", second)
    log("two", job="b")
    assert json.loads(message)["event"] == "one"
    assert json.loads(second.getvalue()) | {"time": ""} == {"time": "", "level": "info", "event": "two", "job": "b"}
