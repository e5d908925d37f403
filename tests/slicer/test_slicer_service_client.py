"""The client submits a form, follows, fetches and deletes a job, and asks consent for other machines."""

import json
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise

import pytest

from BratsMMLib.consent import check_url, format_consent, is_local
from BratsMMLib.failures import NotAllowed, Refused, Stopped, Unreachable
from BratsMMLib.files import Form
from BratsMMLib.running import Cancelled, Done, Failed, Progress, Run, Stop
from BratsMMLib.sequences import Sequence
from BratsMMLib.service import NEEDED, Place, ServiceRunner, parse_progress
from BratsMMLib.transport import HttpTransport, Request

HERE = "http://127.0.0.1:8000"


@dataclass
class FakeAnswer:
    status: int
    body: bytes

    def chunks(self):
        yield self.body


@dataclass
class FakeService:
    """Responds like the service, and records the requests."""

    states: list = field(default_factory=lambda: ["queued", "running", "done"])
    results: tuple = NEEDED
    submit: tuple = (202, None)
    asked: list = field(default_factory=list)
    sent: bytes = b""

    @contextmanager
    def send(self, request):
        path = request.url.removeprefix(HERE)
        self.asked.append((request.method, path))
        if request.method == "POST":
            self.sent = b"".join(request.body)
            self.headers = dict(request.headers)
        yield self._answer(request.method, path)

    def _answer(self, method, path):
        if method == "DELETE":
            return FakeAnswer(204, b"")
        if "/results/" in path:
            return FakeAnswer(200, path.rpartition("/")[2].encode())
        if method == "POST" and self.submit[0] != 202:
            return FakeAnswer(self.submit[0], json.dumps({"detail": self.submit[1]}).encode())
        state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        job = {
            "id": "abc",
            "state": state,
            "queue_position": 2,
            "progress": {"stage": "segmenting", "step": "", "fraction": 0.5, "windows_done": 1, "windows_total": 4},
            "results": [{"name": name} for name in self.results],
            "error": {"detail": "The volumes lie on different grids."} if state == "failed" else None,
        }
        return FakeAnswer(202 if method == "POST" else 200, json.dumps(job).encode())


@pytest.fixture
def inputs(tmp_path):
    (tmp_path / "in").mkdir()
    files = {one: tmp_path / "in" / f"Mrs Example {one.value}.nrrd" for one in (Sequence.T1CE, Sequence.FLAIR)}
    for sequence, path in files.items():
        path.write_bytes(sequence.value.encode() * 100_000)
    return files


@pytest.fixture
def out(tmp_path):
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr("BratsMMLib.service._ASK_S", 0.001)


def test_run_submits_follows_fetches_and_deletes(inputs, out):
    """The job is deleted at the end."""
    service, reported = FakeService(), []
    ServiceRunner(Place(HERE, "secret"), service).run(inputs, out, reported.append, Stop())
    assert {path.name for path in out.iterdir()} == set(NEEDED)
    assert service.asked[0] == ("POST", "/v1/jobs")
    assert service.asked[-1] == ("DELETE", "/v1/jobs/abc")
    assert service.headers["Authorization"] == "Bearer secret"
    assert [one.text for one in reported if "Waiting" in one.text or "Segment" in one.text] == [
        "Waiting, 2 ahead",
        "Segmenting, part 1 of 4",
        "Segmenting, part 1 of 4",
    ]
    shares = [one.share for one in reported]
    assert all(after >= before - 1e-9 for before, after in pairwise(shares))


def test_leave_one_out_is_sent_only_on_request(inputs, out):
    """A service of an earlier version does not support the option."""
    for requested in (False, True):
        service = FakeService()
        ServiceRunner(Place(HERE), service, leave_one_out=requested).run(inputs, out, lambda progress: None, Stop())
        assert (b'"leave_one_out": true' in service.sent) == requested


def test_file_names_are_not_sent(inputs, out):
    """Parts have the name of their sequence."""
    service = FakeService()
    ServiceRunner(Place(HERE), service).run(inputs, out, lambda progress: None, Stop())
    assert b"Example" not in service.sent
    assert b'name="t1ce"; filename="t1ce.nrrd"' in service.sent
    assert int(service.headers["Content-Length"]) == len(service.sent)


def test_other_machine_needs_consent_before_anything_is_sent(inputs, out):
    """The service received no request."""
    service = FakeService()
    with pytest.raises(NotAllowed, match="Tick the box"):
        ServiceRunner(Place("https://example.org"), service).run(inputs, out, lambda progress: None, Stop())
    assert service.asked == []


@pytest.mark.parametrize(
    ("url", "here"),
    [
        ("http://127.0.0.1:8000", True),
        ("http://127.9.9.9", True),
        ("http://localhost:8000", True),
        ("http://[::1]:8000", True),
        ("https://example.org", False),
        ("http://127.0.0.1.example.org", False),
        ("http://localhost.example.org", False),
        ("http://10.0.0.1", False),
        ("http://127.0.0.1@example.org", False),
        ("", False),
    ],
)
def test_only_loopback_counts_as_this_machine(url, here):
    """Host names do not matter."""
    assert is_local(url) is here


def test_consent_text_names_sequences_and_host():
    """It also says that a head can identify a person."""
    message = format_consent("https://example.org:8443/x", [Sequence.T1CE, Sequence.FLAIR])
    assert "T1ce, FLAIR to example.org:8443" in message
    assert "can identify a person" in message


@pytest.mark.parametrize("url", ["", "example.org", "ftp://example.org", "http://", "http://me:secret@example.org"])
def test_rejects_invalid_address(url):
    """The message is one sentence."""
    with pytest.raises(NotAllowed, match="not the address of a service"):
        check_url(url)


def test_message_of_service_is_shown(inputs, out):
    """Covers a refused submission and a failed job, which is deleted."""
    refused = FakeService(submit=(415, "t1ce is a DICOM file."))
    with pytest.raises(Refused, match="t1ce is a DICOM file"):
        ServiceRunner(Place(HERE), refused).run(inputs, out, lambda progress: None, Stop())
    failing = FakeService(states=["queued", "failed"])
    with pytest.raises(Refused, match="different grids"):
        ServiceRunner(Place(HERE), failing).run(inputs, out, lambda progress: None, Stop())
    assert failing.asked[-1] == ("DELETE", "/v1/jobs/abc")


def test_missing_results_are_reported(inputs, out):
    """The version of the service does not match."""
    service = FakeService(results=tuple(name for name in NEEDED if name != "entropy.nii.gz"))
    with pytest.raises(Refused, match=r"no entropy\.nii\.gz"):
        ServiceRunner(Place(HERE), service).run(inputs, out, lambda progress: None, Stop())


def test_cancel_deletes_job(inputs, out):
    """Cancellation returns at once in the window's thread."""
    service = FakeService(states=["running"])
    run = Run(ServiceRunner(Place(HERE), service), inputs, out).start()
    while not any(method == "GET" for method, _ in service.asked):
        pass
    run.cancel()
    assert run.join(300)
    news = run.news()
    assert isinstance(news[-1], Cancelled)
    assert all(isinstance(one, Progress) for one in news[:-1])
    assert service.asked[-1] == ("DELETE", "/v1/jobs/abc")


def test_run_ends_with_folder_or_reason(inputs, out):
    """Covers errors of the module itself."""

    class Broken:
        def run(self, inputs, folder, tell, stop):
            raise ZeroDivisionError

    for runner, kind in ((ServiceRunner(Place(HERE), FakeService()), Done), (Broken(), Failed)):
        run = Run(runner, inputs, out).start()
        assert run.join(300)
        assert isinstance(run.news()[-1], kind)


def test_form_is_streamed_in_bounded_chunks(inputs):
    """The length is known in advance."""
    form = Form.create({one.value: path for one, path in inputs.items()}, {"options": "{}"})
    pieces = list(form.chunks())
    assert max(map(len, pieces)) <= 1 << 18
    assert sum(map(len, pieces)) == form.length


def test_unreachable_address_is_reported(tmp_path):
    """The message says what to do."""
    transport = HttpTransport(timeout_s=300)
    with pytest.raises(Unreachable, match="brats-mm serve"), transport.send(Request("GET", "http://127.0.0.1:9/")):
        pass


def test_progress_describes_each_state():
    """Covers the head of the queue, and a stage without windows."""
    assert parse_progress({"state": "queued", "queue_position": 0}).text == "Waiting"
    assert parse_progress({"state": "running", "progress": {"stage": "reading"}}) == Progress("Reading", 0.1)
    registering = {"stage": "preprocessing", "step": "registering T1 to T1ce", "fraction": 0.25, "windows_total": 0}
    progress = parse_progress({"state": "running", "progress": registering})
    assert (progress.text, progress.share) == ("Registering T1 to T1ce", pytest.approx(0.3))


def test_stop_interrupts_wait():
    """It is raised during the wait, not after it."""
    stop = Stop()
    stop.event.set()
    with pytest.raises(Stopped, match="Cancelled"):
        stop.wait(60)


def test_registered_scans_are_fetched_if_available(inputs, out):
    service = FakeService(results=(*NEEDED, "registered_flair.nii.gz", "preview.png"))
    ServiceRunner(Place(HERE, "secret"), service).run(inputs, out, lambda _: None, Stop())
    assert {path.name for path in out.iterdir()} == {*NEEDED, "registered_flair.nii.gz"}
