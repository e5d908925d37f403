"""Callers see their own file names, and no one else does."""

from brats_mm_service.jobs.model import replace_stored_names
from tests.fakes.serving import ended, serving, small_settings, two_files
from tests.fakes.step_gate import StepGate


def named_files(head):
    files = two_files(head)
    return {"t1ce": ("Case 7 t1c.nii.gz", files["t1ce"][1]), "flair": ("Case 7 t2f.nii.gz", files["flair"][1])}


def test_job_knows_its_file_names_until_cancelled(made_head, tmp_path):
    with serving(small_settings(tmp_path / "data"), behaviour=StepGate(tmp_path / "gate").behaviour) as client:
        job = client.post("/v1/jobs", files=named_files(made_head)).json()
        assert job["files"] == {"t1ce": "Case 7 t1c.nii.gz", "flair": "Case 7 t2f.nii.gz"}
        client.delete(job["links"]["self"])
        assert ended(client, job["id"])["files"] == {}


def test_failed_job_names_file_of_caller(made_head, tmp_path):
    with serving(small_settings(tmp_path), behaviour={"fail": "bad-volume"}) as client:
        files = {"t1": ("Case 7 native.nii.gz", two_files(made_head)["t1ce"][1])}
        job = ended(client, client.post("/v1/jobs", files=files).json()["id"])
        assert job["error"]["detail"] == "Case 7 native.nii.gz cannot be used."


def test_rejected_upload_names_file_of_caller(tmp_path):
    with serving(small_settings(tmp_path)) as client:
        answer = client.post("/v1/jobs", files={"t1": ("Case 7 native.nii.gz", b"no volume" * 100)})
        assert answer.json()["detail"].startswith("Case 7 native.nii.gz is not a volume file by its content.")


def test_names_are_replaced_once_and_completely():
    stored = {"t1": "t1.nii.gz", "flair": "flair.nii.gz", "t2": "t2"}
    names = {"t1": "flair.nii.gz", "flair": "a_t1.nii.gz", "t2": "exam.zip"}
    message = "t1.nii.gz and flair.nii.gz differ; unt1.nii.gz is another, t2 too."
    assert replace_stored_names(message, stored, names) == (
        "flair.nii.gz and a_t1.nii.gz differ; unt1.nii.gz is another, t2 too."
    )
