"""Log lines go to the current standard error."""

import io
import json
import logging
import socket
import sys

import pytest

from brats_mm_service.logs import log, logger, start_logging
from tests.fakes.serving import ended, serving, small_settings, two_files, until


@pytest.fixture
def restored():
    loggers = (logger, logging.getLogger("uvicorn"))
    states = [(one.handlers[:], one.level, one.propagate) for one in loggers]
    yield
    for one, (handlers, level, propagate) in zip(loggers, states, strict=True):
        one.handlers[:], one.propagate = handlers, propagate
        one.setLevel(level)


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


@pytest.mark.usefixtures("restored")
def test_lines_are_json_and_those_about_a_job_have_its_id_and_no_file_name(tmp_path, made_head, monkeypatch):
    written = io.StringIO()
    monkeypatch.setattr(sys, "stderr", written)
    start_logging(verbose=True)
    files = {field: (f"Smith_{name}", data) for field, (name, data) in two_files(made_head).items()}
    with serving(small_settings(tmp_path)) as client:
        job = client.post("/v1/jobs", files=files).json()["id"]
        ended(client, job)
        client.get(f"/v1/jobs/{job}/results/segmentation.nii.gz")
        client.delete(f"/v1/jobs/{job}")
    text = written.getvalue()
    lines = [json.loads(line) for line in text.splitlines()]
    about = {line["event"] for line in lines if line.get("job") == job}
    assert {"job_accepted", "job_started", "job_ended", "job_deleted", "request"} <= about
    assert [line for line in lines if line["event"].startswith("job_") and line.get("job") != job] == []
    assert {"time", "level", "event"} <= set.intersection(*(set(line) for line in lines))
    assert "Smith" not in text
    assert "nii" not in text


@pytest.mark.usefixtures("restored")
def test_lines_of_uvicorn_are_json_too_and_a_disconnect_is_one_line(tmp_path, monkeypatch):
    written = io.StringIO()
    monkeypatch.setattr(sys, "stderr", written)
    with serving(small_settings(tmp_path)) as client:
        start_logging(verbose=True)
        address = (client.base_url.host, client.base_url.port)
        with socket.create_connection(address, timeout=60) as raw:
            raw.sendall(b"no request\r\n\r\n")  # uvicorn warns
            raw.recv(100)
        with socket.create_connection(address, timeout=60) as raw:
            raw.sendall(
                b"POST /v1/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n"
                b"Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\n"
            )
            until(lambda: list((tmp_path / "incoming").iterdir()))
        until(lambda: "/v1/jobs" in written.getvalue())
        until(lambda: not list((tmp_path / "incoming").iterdir()))
    lines = [json.loads(line) for line in written.getvalue().splitlines()]
    assert any("Invalid HTTP request" in line["event"] for line in lines)
    assert "Traceback" not in written.getvalue()
