"""The module's client against a real service with a fake model."""

import pytest

from BratsMMLib.failures import Refused
from BratsMMLib.running import Cancelled, Failed, Run, Stop
from BratsMMLib.sequences import Sequence
from BratsMMLib.service import Place, ServiceRunner
from tests.fakes.serving import serving, small_settings, until
from tests.fakes.step_gate import StepGate

pytestmark = pytest.mark.slow

pytest.importorskip("fastapi", reason="the service is not installed")


@pytest.fixture(scope="module")
def inputs(made_head):
    """T1ce and FLAIR of a small synthetic head."""
    names = {Sequence.T1CE: "t1c", Sequence.FLAIR: "t2f"}
    return {one: made_head / f"BraTS-GLI-00000-000-{name}.nii.gz" for one, name in names.items()}


def runner(client):
    return ServiceRunner(Place(str(client.base_url)))


def test_form_is_accepted_and_job_deleted(inputs, tmp_path):
    """The fake model writes no .seg.nrrd, so the client reports it as missing. Nothing stays on the service."""
    reported, gate = [], StepGate(tmp_path / "gate")

    def tell(progress):
        reported.append(progress)
        if "part" in progress.text:
            gate.open(2)

    with serving(small_settings(tmp_path / "data"), behaviour=gate.behaviour) as client:
        run = runner(client)
        with pytest.raises(Refused, match=r"returned no segmentation.seg.nrrd, entropy.nii.gz, importance.json"):
            run.run(inputs, tmp_path, tell, Stop())
        assert client.get("/v1/jobs").json()["jobs"] == []
    assert any("Sending" in one.text for one in reported)
    assert any("part" in one.text for one in reported)


def test_cancel_cancels_job_at_service(inputs, tmp_path):
    """The job is cancelled while it computes."""
    with serving(small_settings(tmp_path / "data"), behaviour=StepGate(tmp_path / "gate").behaviour) as client:
        run = Run(runner(client), inputs, tmp_path).start()
        until(lambda: [job for job in client.get("/v1/jobs").json()["jobs"] if job["state"] == "running"])
        run.cancel()
        assert run.join(300)
        assert isinstance(run.news()[-1], Cancelled)
        states = [job["state"] for job in client.get("/v1/jobs").json()["jobs"]]
        assert set(states) <= {"cancelled"}


def test_failed_job_reports_message_of_service(inputs, tmp_path):
    with serving(small_settings(tmp_path / "data"), behaviour={"fail": "bad-volume"}) as client:
        run = Run(runner(client), inputs, tmp_path).start()
        assert run.join(300)
        assert run.news()[-1] == Failed("t1.nii.gz cannot be used.")


def test_file_that_is_no_volume_is_rejected_at_submission(inputs, tmp_path):
    """The service's message names the sequence."""
    broken = tmp_path / "flair.nii.gz"
    broken.write_bytes(b"no volume")
    with serving(small_settings(tmp_path / "data")) as client:
        run = Run(runner(client), {**inputs, Sequence.FLAIR: broken}, tmp_path).start()
        assert run.join(300)
        assert "flair" in run.news()[-1].message
