"""Failures between service and archive: nothing is lost, and nothing is stored twice."""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pydicom
import pytest

from brats_mm.domain.modality import Modality
from brats_mm.outputs.dicom.results import DicomOutput, write_dicom
from brats_mm.outputs.folder import OutputFolder
from brats_mm_service.database import Database
from brats_mm_service.dicomweb.client import DicomwebUnreachable
from brats_mm_service.dicomweb.link import POLLER, DicomwebLink
from brats_mm_service.dicomweb.transfers import Transfers, TransferState
from brats_mm_service.jobs.states import JobState
from brats_mm_service.settings import DicomwebSettings
from tests.fakes.dicom_results import made_source, prediction_on
from tests.fakes.orthanc import MISSING, REASON, free_port, orthanc
from tests.fakes.serving import serving, until
from tests.service.test_archive import send, settings_for

STUDY = "1.2.3"
PAGE = (Path(__file__).parents[2] / "docs" / "dicom.md").read_text("utf-8")


@dataclass
class FakeArchive:
    """Stores objects, and fails to respond a given number of times."""

    silent: int = 0
    held: dict[str, int] = field(default_factory=dict)

    def holds(self, _study, _series, instance):
        return instance in self.held

    def store(self, _study, objects):
        if self.silent:
            self.silent -= 1
            raise DicomwebUnreachable("it did not respond (ConnectionError)")
        for one in objects:
            self.held[str(one.SOPInstanceUID)] = self.held.get(str(one.SOPInstanceUID), 0) + 1


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    """The folder of a job's result, with the three objects."""
    place = tmp_path_factory.mktemp("job")
    source = made_source(place / "series", np.diag([-1.0, -1.0, 3.0, 1.0]))
    prediction = prediction_on(source.grid, np.ones(source.grid.shape), (Modality.T1CE,))
    with OutputFolder(place / "result") as out:
        write_dicom(prediction, out, DicomOutput(inputs={Modality.T1CE: source}, folder=""))
    return place / "result"


@pytest.fixture
def made(tmp_path, result):
    """Transfers, one of which is about to be stored."""
    database = Database(tmp_path / "records.sqlite3")
    clock = SimpleNamespace(now=1000.0)
    transfers = Transfers(database, now=lambda: clock.now)
    transfer, _ = transfers.begin(STUDY, "someone")
    transfers.move(transfer, TransferState.STORING, job="job")
    job = SimpleNamespace(id="job", state=JobState.DONE)
    records = SimpleNamespace(get=lambda _: job)
    queue = SimpleNamespace(records=records, verified=lambda _job, name: result / name)

    def link(archive):
        settings = DicomwebSettings("http://127.0.0.1:9/dicom-web", attempts=4, retry_s=2.0)
        return DicomwebLink(transfers, queue, None, archive, settings, most_bytes=1)

    yield SimpleNamespace(
        transfers=transfers, queue=queue, link=link, clock=clock, get=lambda: transfers.get(transfer.id)
    )
    database.close()


def step(link, made):
    for one in made.transfers.due():
        link._advance(one)


def test_kill_between_storing_and_recording_stores_nothing_twice(made, monkeypatch):
    class Killed(BaseException):
        pass

    def kill(*_, **__):
        raise Killed

    archive = FakeArchive()
    with monkeypatch.context() as patch:
        patch.setattr(made.transfers, "move", kill)
        with pytest.raises(Killed):
            step(made.link(archive), made)
    assert (len(archive.held), made.get().state) == (3, TransferState.STORING)

    step(made.link(archive), made)  # next start
    assert set(archive.held.values()) == {1}
    after = made.get()
    assert (after.state, after.stored, sorted(after.present)) == (TransferState.DONE, (), sorted(archive.held))


def test_unresponsive_archive_is_retried_with_growing_pauses(made):
    archive = FakeArchive(silent=3)
    link, pauses = made.link(archive), []
    for _ in range(3):
        step(link, made)
        waiting = made.get()
        assert waiting.state is TransferState.STORING
        assert "will try again" in waiting.detail
        pauses.append(waiting.next - made.clock.now)
        made.clock.now = waiting.next
    assert pauses == [2.0, 4.0, 8.0]
    step(link, made)
    done = made.get()
    assert (done.state, done.detail, done.attempts) == (TransferState.DONE, "", 0)
    assert sorted(done.stored) == sorted(archive.held)


def test_unresponsive_archive_is_given_up_with_error(made):
    link = made.link(FakeArchive(silent=9))
    for _ in range(4):
        step(link, made)
        made.clock.now += 1000
    failed = made.get()
    assert failed.state is TransferState.FAILED
    assert "could not be reached after 4 attempts" in failed.detail


def test_deleted_results_fail_without_retry(made):
    made.queue.records.get = lambda _: None
    step(made.link(FakeArchive()), made)
    assert made.get().state is TransferState.FAILED
    assert "deleted before they could be stored" in made.get().detail


@pytest.mark.skipif(MISSING, reason=REASON)
@pytest.mark.slow
def test_polling_submits_each_new_study_once_and_no_old_study(tmp_path):
    port = free_port()
    settings = settings_for(tmp_path / "data", port, None, poll_s=0.3)
    with orthanc(tmp_path / "orthanc", port) as archive:
        old = send(archive, "old")
        with serving(settings) as http:
            transfers = http.service.transfers
            until(lambda: transfers._database.connection().execute("SELECT * FROM seen_studies").fetchone())
            new = send(archive, "new")
            until(lambda: transfers.list_for_study(new, POLLER))
            ended = until(lambda: [one for one in transfers.list_for_study(new, POLLER) if one.state.value == "failed"])
            assert "damaged or missing" in ended[0].detail  # the fake worker makes no objects
            later = http.service.dicomweb._next_poll + 1.0
            until(lambda: http.service.dicomweb._next_poll > later)
            assert len(transfers.list_for_study(new, POLLER)) == 1
            assert transfers.list_for_study(old, POLLER) == []


def ohif_source():
    """Return the data source of the page's OHIF configuration, with the script's literal read as JSON."""
    script = re.search(r"```js\nwindow\.config = (.*?);\n```", PAGE, re.DOTALL).group(1)
    text = re.sub(r"(\w+):(?=\s)", r'"\1":', script).replace("'", '"')
    document = json.loads(re.sub(r",(\s*[}\]])", r"\1", text))
    (source,) = [one for one in document["dataSources"] if one["sourceName"] == document["defaultDataSourceName"]]
    return source


def test_documented_ohif_configuration_is_complete():
    source = ohif_source()
    assert source["namespace"] == "@ohif/extension-default.dataSourcesModule.dicomweb"
    needed = {"friendlyName", "name", "qidoRoot", "wadoRoot", "wadoUriRoot", "imageRendering", "thumbnailRendering"}
    assert needed <= set(source["configuration"])


@pytest.mark.skipif(MISSING, reason=REASON)
@pytest.mark.slow
def test_orthanc_responds_at_addresses_of_ohif_configuration(tmp_path):
    about = ohif_source()["configuration"]
    with orthanc(tmp_path / "orthanc", free_port()) as archive:
        study = send(archive, "ohif")
        (result,) = archive.get(f"{about['qidoRoot']}/studies").json()
        assert result["0020000D"]["Value"] == [study]
        (one, *_) = archive.get(f"{about['wadoRoot']}/studies/{study}/metadata").json()
        series, image = (one[tag]["Value"][0] for tag in ("0020000E", "00080018"))
        requested = (
            f"requestType=WADO&contentType=application/dicom&studyUID={study}&seriesUID={series}&objectUID={image}"
        )
        answer = archive.get(f"{about['wadoUriRoot']}?{requested}")
        assert answer.status_code == 200
        (tmp_path / "got.dcm").write_bytes(answer.content)
        assert pydicom.dcmread(tmp_path / "got.dcm").SOPInstanceUID == image
