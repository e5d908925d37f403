"""Client of the service's `/v1` API: submit, follow, fetch. A cancelled run deletes its job."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from BratsMMLib.consent import check_consent, check_url
from BratsMMLib.failures import Failure, Refused, Stopped
from BratsMMLib.files import Form
from BratsMMLib.results import KEPT_JOB, registered_name
from BratsMMLib.running import Inputs, Progress, Stop, capitalised
from BratsMMLib.sequences import SEQUENCES
from BratsMMLib.transport import HttpTransport, Request, Transport

NEEDED = ("segmentation.seg.nrrd", "entropy.nii.gz", "importance.json", "report.json")
OPTIONAL = tuple(registered_name(sequence) for sequence in SEQUENCES)
"""Raw scans on the grid of the results. Absent for input on one grid."""
_OPTIONS = {"labels": "brats2023", "preview": False}
_ASK_S = 0.5
_ATTEMPTS = 5
_MAY_FAIL = (429, 502, 503, 504)


@dataclass(frozen=True)
class Place:
    """A service: its address, an optional token, and whether the user allows volumes to leave this machine."""

    url: str
    token: str = ""
    agreed: bool = False


@dataclass(frozen=True)
class ServiceRunner:
    """Runs a case on a service.

    >>> Run(ServiceRunner(Place("http://127.0.0.1:8000")), {Sequence.FLAIR: path}, folder)  # doctest: +SKIP

    Attributes:
        place: the service.
        transport: sends requests.
        leave_one_out: also measure how the result changes when each sequence is left out.
        keep: keep the job with its images on the service, so that a correction can be submitted for it.
    """

    place: Place
    transport: Transport = field(default_factory=HttpTransport)
    leave_one_out: bool = False
    keep: bool = False

    def run(self, inputs: Inputs, folder: Path, tell: Callable[[Progress], None], stop: Stop) -> None:
        """Submit a job, follow it and fetch its results, then delete it unless the user keeps it.

        Raises:
            NotAllowed: the service is on another machine, and the user has not agreed.
            Unreachable: the service does not respond.
            Refused: the service refused the job.
            Stopped: the run was cancelled, and the job deleted.
        """
        url = check_url(self.place.url)
        check_consent(url, agreed=self.place.agreed)
        stop.check()
        job = self._submit(url, inputs, tell, stop)
        kept = False
        try:
            finished = self._follow(url, job, tell, stop)
            self._fetch(url, finished, folder, tell, stop)
            kept = self.keep
        finally:
            if not kept:
                with suppress(Failure):  # otherwise the service deletes the job after a day
                    self._request_json("DELETE", f"{url}/v1/jobs/{quote(job['id'], safe='')}")
        if kept:
            (folder / KEPT_JOB).write_text(job["id"], encoding="utf-8")

    def _submit(self, url: str, inputs: Inputs, tell: Callable[[Progress], None], stop: Stop) -> dict[str, Any]:
        options = {**_OPTIONS, **self._choices()}
        form = Form.create(
            {sequence.value: path for sequence, path in inputs.items()}, {"options": json.dumps(options)}
        )

        def sent(done: int, total: int) -> None:
            stop.check()
            tell(Progress(f"Sending {done / 1e6:.0f} of {total / 1e6:.0f} MB", 0.1 * done / max(total, 1)))

        headers = {"Content-Type": form.content_type, "Content-Length": str(form.length), **make_headers(self.place)}
        with self.transport.send(Request("POST", f"{url}/v1/jobs", headers, form.chunks(sent))) as answer:
            return parse_json(answer.status, b"".join(answer.chunks()))

    def _choices(self) -> dict[str, bool]:
        """Return the options that differ from the default. A service of an earlier version may not know the others."""
        choices = {"leave_one_out": self.leave_one_out, "keep_upload": self.keep}
        return {name: True for name, value in choices.items() if value}

    def _follow(self, url: str, job: dict[str, Any], tell: Callable[[Progress], None], stop: Stop) -> dict[str, Any]:
        asked_in_vain = 0
        while True:
            tell(parse_progress(job))
            if job["state"] == "done":
                return job
            if job["state"] not in ("queued", "running"):
                error = job.get("error") or {}
                raise Refused(str(error.get("detail") or f"The job is {job['state']}."))
            stop.wait(_ASK_S)
            try:
                job = self._request_json("GET", f"{url}/v1/jobs/{quote(job['id'], safe='')}")
                asked_in_vain = 0
            except Stopped:
                raise
            except Failure as failure:
                asked_in_vain += 1
                refused = isinstance(failure, Refused) and failure.status not in _MAY_FAIL
                if asked_in_vain >= _ATTEMPTS or refused:
                    raise
                stop.wait(_ASK_S * 2**asked_in_vain)

    def _fetch(self, url: str, job: dict[str, Any], folder: Path, tell: Callable[[Progress], None], stop: Stop) -> None:
        available = {result["name"] for result in job["results"]}
        missing = [name for name in NEEDED if name not in available]
        if missing:
            raise Refused(f"The service returned no {', '.join(missing)}. Its version may not match this module.")
        names = (*NEEDED, *(name for name in OPTIONAL if name in available))
        for number, name in enumerate(names):
            stop.check()
            tell(Progress(f"Fetching {name}", 0.9 + 0.1 * number / len(names)))
            request = Request(
                "GET", f"{url}/v1/jobs/{quote(job['id'], safe='')}/results/{name}", make_headers(self.place)
            )
            with self.transport.send(request) as answer:
                if answer.status != 200:
                    parse_json(answer.status, b"".join(answer.chunks()))
                with (folder / name).open("wb") as target:
                    for piece in answer.chunks():
                        stop.check()
                        target.write(piece)

    def _request_json(self, method: str, url: str) -> dict[str, Any]:
        with self.transport.send(Request(method, url, make_headers(self.place))) as answer:
            return parse_json(answer.status, b"".join(answer.chunks()))


def make_headers(place: Place) -> dict[str, str]:
    """Return the headers that identify the caller."""
    token = place.token.strip()
    return {"Authorization": f"Bearer {token}"} if token else {}


def parse_progress(job: dict[str, Any]) -> Progress:
    """Return a job's progress as a message and a fraction."""
    if job["state"] == "queued":
        position = job.get("queue_position")
        ahead = "" if not position else f", {position} ahead"
        return Progress(f"Waiting{ahead}", 0.1)
    progress = job.get("progress") or {}
    text = str(progress.get("step") or progress.get("stage") or job["state"])
    if total := progress.get("windows_total"):
        text += f", part {progress.get('windows_done') or 0} of {total}"
    return Progress(capitalised(text), 0.1 + 0.8 * float(progress.get("fraction") or 0))


def parse_json(status: int, content: bytes) -> dict[str, Any]:
    """Return the JSON of a response. Raises the detail of a problem as an error."""
    try:
        body = json.loads(content) if content else {}
    except ValueError:
        body = {}
    if 200 <= status < 300:
        return body if isinstance(body, dict) else {}
    detail = body.get("detail") if isinstance(body, dict) else None
    failure = Refused(str(detail or f"The service responded with status {status}. Check its log."))
    failure.status = status
    raise failure
