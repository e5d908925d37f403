"""The unmodified MONAI Label client against a running service with a tiny model."""

import io
import shutil
import zipfile
from collections import Counter
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK

from brats_mm.domain.options import ModelOptions
from brats_mm_service.settings import WorkerSettings
from brats_mm_service.viewer.expected_dice import ExpectedDiceFile, read_expected_dice
from tests.fakes.monai_label_client import real_client
from tests.fakes.serving import serving, small_settings, until

pytestmark = [
    pytest.mark.slow,
    # The client leaves files and sockets open.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
SLICER = {"result_extension": ".nrrd", "result_dtype": "uint8"}
LABELS = {"necrosis": 1, "edema": 2, "enhancing tumor": 3}
BANDS = {"low uncertainty": 1, "medium uncertainty": 2, "high uncertainty": 3}


@pytest.fixture(scope="module")
def client_module():
    return real_client()


@pytest.fixture(scope="module")
def datastore(tmp_path_factory, made_head):
    folder = tmp_path_factory.mktemp("datastore")
    shutil.copytree(made_head, folder / "case-1")
    two = folder / "case-2"
    two.mkdir()
    for name in ("t1c", "t2f"):
        shutil.copy(made_head / f"BraTS-GLI-00000-000-{name}.nii.gz", two)
    shutil.copy(made_head / "BraTS-GLI-00000-000-t1c.nii.gz", folder / "single_t1ce.nii.gz")
    (folder / "notes").mkdir()
    (folder / "notes" / "readme.txt").write_text("no case", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def http(tmp_path_factory, datastore, tiny_bundle):
    worker = WorkerSettings(ModelOptions(bundle=tiny_bundle, device="cpu", window=64, overlap=0.0))
    settings = small_settings(tmp_path_factory.mktemp("data"), datastore=datastore, worker=worker)
    with serving(settings, behaviour="real") as http:
        until(lambda: http.get("/readyz").status_code == 200)
        yield http


@pytest.fixture
def client(client_module, http, tmp_path):
    folder = tmp_path / "client"
    folder.mkdir()
    return client_module.MONAILabelClient(str(http.base_url), tmpdir=str(folder), client_id="user-xyz")


def volume(made_head, name="t1c"):
    return made_head / f"BraTS-GLI-00000-000-{name}.nii.gz"


def same_grid(result, made_head):
    image, source = SimpleITK.ReadImage(str(result)), SimpleITK.ReadImage(str(volume(made_head)))
    assert image.GetSize() == source.GetSize()
    np.testing.assert_allclose(image.GetOrigin(), source.GetOrigin(), atol=1e-4)
    np.testing.assert_allclose(image.GetDirection(), source.GetDirection(), atol=1e-6)
    np.testing.assert_allclose(image.GetSpacing(), source.GetSpacing(), atol=1e-6)
    return image


def test_info_has_fields_that_viewers_need(client):
    info = client.info()
    assert list(info["models"]) == ["brats_mm", "brats_mm_entropy"]
    assert {model["type"] for model in info["models"].values()} == {"segmentation"}
    assert info["models"]["brats_mm"]["labels"] == LABELS
    assert info["models"]["brats_mm_entropy"]["labels"] == BANDS
    assert info["models"]["brats_mm"]["config"]["modality"] == ["auto", "t1", "t1ce", "t2", "flair"]
    assert info["labels"] == ["background", *LABELS]  # OHIF drops the first
    assert info["trainers"]["brats_mm"]["config"] == {"minutes": 20.0}
    assert not info.get("config")
    assert list(info["strategies"]) == ["first", "random", "uncertain"]
    assert info["datastore"]["total"] >= 3


def test_login_and_training_are_reported_unavailable(client):
    assert client.auth_enabled() is False
    assert client.train_status(check_if_running=True) is False


@pytest.mark.parametrize(("image", "found"), [("case-1", ["t1", "t1ce", "t2", "flair"]), ("case-2", ["t1ce", "flair"])])
def test_case_folder_on_server_is_an_image(client, made_head, image, found):
    result, params = client.infer("brats_mm", image, dict(SLICER))
    assert params["sequences_found"] == found
    assert params["label_names"] == LABELS
    image = same_grid(result, made_head)
    assert image.GetPixelID() == SimpleITK.sitkUInt8
    assert set(np.unique(SimpleITK.GetArrayFromImage(image))) <= {0, 1, 2, 3}
    assert "not for diagnosis" in params["disclaimer"]


def test_response_equals_result_of_own_api(client, http, made_head):
    result, params = client.infer("brats_mm", "case-2", {"result_extension": ".nii.gz"})
    there = http.get(params["results"]["segmentation.nii.gz"]).content
    assert Path(result).read_bytes() == there
    assert set(params["importance"]) > set()
    for name, (value, *centre) in params["centroids"].items():
        assert value == LABELS[name]
        assert all(0 <= place < size for place, size in zip(centre, (64, 72, 56), strict=True))


def test_entropy_is_second_model_with_bands_and_reuses_job(client, http, made_head):
    _, first = client.infer("brats_mm", "case-1", dict(SLICER))
    result, params = client.infer("brats_mm_entropy", "case-1", dict(SLICER))
    assert params["job"] == first["job"]
    assert params["label_names"] == BANDS
    bands = SimpleITK.GetArrayFromImage(same_grid(result, made_head)).T
    stored = http.get(params["results"]["entropy.nii.gz"]).content
    entropy = nib.Nifti1Image.from_bytes(__import__("gzip").decompress(stored)).get_fdata()
    confident = [
        entropy < 0.198,
        (entropy > 0.199) & (entropy < 0.422),
        (entropy > 0.424) & (entropy < 0.61),
        entropy > 0.612,
    ]
    for band, voxels in enumerate(confident):
        assert set(np.unique(bands[voxels])) <= {band}


def test_sent_volume_is_recognised_by_name(client, made_head):
    _, params = client.infer("brats_mm", "", dict(SLICER), file=str(volume(made_head, "t2f")))
    assert params["sequences_found"] == ["flair"]
    assert params["sequences_missing"] == ["t1", "t1ce", "t2"]


def test_volume_without_recognised_name_needs_modality(client, client_module, made_head, tmp_path):
    plain = tmp_path / "tmpq1x8.nii.gz"
    shutil.copy(volume(made_head), plain)
    with pytest.raises(client_module.MONAILabelClientException) as error:
        client.infer("brats_mm", "", dict(SLICER), file=str(plain))
    assert "The sequence of this volume is unknown" in error.value.msg
    _, params = client.infer("brats_mm", "", {**SLICER, "modality": "t1ce"}, file=str(plain))
    assert params["sequences_found"] == ["t1ce"]


def test_slicer_workflow_uploads_under_node_name_then_infers(client, made_head, tmp_path):
    plain = tmp_path / "tmpzz77.nii.gz"
    shutil.copy(volume(made_head), plain)
    assert client.upload_image(str(plain), "Smith T1ce") == {"image": "Smith T1ce"}
    _, params = client.infer("brats_mm", "Smith T1ce", dict(SLICER))
    assert params["sequences_found"] == ["t1ce"]
    assert client.upload_image(str(plain), "Head") == {"image": "Head"}
    _, params = client.infer("brats_mm", "Head", {**SLICER, "modality": "t2"})
    assert params["sequences_found"] == ["t2"]


def test_session_of_one_file_is_created_and_removed(client, client_module, made_head):
    actual = client.create_session(str(volume(made_head, "t2f")))
    assert actual["session_info"]["meta"]["sequences"] == ["flair"]
    assert client.get_session(actual["session_id"])["expiry"] == 3600
    _, params = client.infer("brats_mm", "", dict(SLICER), session_id=actual["session_id"])
    assert params["sequences_found"] == ["flair"]
    client.remove_session(actual["session_id"])
    with pytest.raises(client_module.MONAILabelClientException) as gone:
        client.get_session(actual["session_id"])
    assert gone.value.status_code == 404


def test_zip_of_case_is_a_session(client, made_head, tmp_path):
    packed = tmp_path / "head.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        for name in ("t1n", "t1c", "t2w"):
            archive.write(volume(made_head, name), f"head/{volume(made_head, name).name}")
    actual = client.create_session(str(packed))
    _, params = client.infer("brats_mm", "", dict(SLICER), session_id=actual["session_id"])
    assert params["sequences_found"] == ["t1", "t1ce", "t2"]


def test_several_files_form_one_session_and_are_told_apart_by_name(client, http, made_head):
    files = [("files", (volume(made_head, name).name, volume(made_head, name).read_bytes())) for name in ("t2w", "t2f")]
    actual = http.put("/session/", files=files).json()
    assert actual["session_info"]["meta"]["sequences"] == ["t2", "flair"]
    _, params = client.infer("brats_mm", "", dict(SLICER), session_id=actual["session_id"])
    assert params["sequences_found"] == ["t2", "flair"]
    again = http.put("/session/", files=[files[0], ("files", ("other_t2.nii.gz", files[0][1][1]))])
    assert again.status_code == 422
    assert "/" not in again.json()["detail"].replace(".nii.gz", "")


def test_datastore_lists_cases_uploads_and_labels(client, http, made_head):
    client.upload_image(str(volume(made_head, "t1n")), "mine_t1n")
    objects = client.datastore()["objects"]
    assert {"case-1", "case-2", "single_t1ce", "mine_t1n"} <= set(objects)
    assert "notes" not in objects
    assert objects["case-2"]["image"]["info"]["sequences"] == ["t1ce", "flair"]
    info = http.get("/datastore/image/info", params={"image": "mine_t1n"}).json()
    assert info["sequences"] == ["t1"]
    assert info["params"] == {"client_id": "user-xyz"}


def test_images_are_downloaded_and_verified_by_checksum(client, http, made_head):
    case = http.get("/datastore/image", params={"image": "case-2"})
    assert case.content == volume(made_head).read_bytes()
    assert "case-2_BraTS-GLI" in case.headers["content-disposition"]
    flair = http.get("/datastore/image", params={"image": "case-2", "modality": "flair"})
    assert flair.content == volume(made_head, "t2f").read_bytes()
    following = client.next_sample("first", {})
    assert following["id"] == "case-1"
    head = {"image": "case-1", "check_sum": following["checksum"]}
    assert http.head("/datastore/image", params=head).status_code == 200
    assert http.head("/datastore/image", params={**head, "check_sum": "SHA256:00"}).status_code == 404


def test_corrected_label_is_saved_and_marks_case_as_done(client, client_module, made_head):
    result, _ = client.infer("brats_mm", "case-1", dict(SLICER))
    saved = client.save_label("case-1", result, params={"label_info": [{"name": "necrosis", "idx": 1}]})
    assert saved == {"image": "case-1", "label": "case-1", "version": 1}
    fetched = client.download_label("case-1", "final")
    assert fetched.endswith(".nrrd")
    assert Path(fetched).read_bytes() == Path(result).read_bytes()
    assert client.datastore()["objects"]["case-1"]["labels"]["final"]["ext"] == ".nrrd"
    assert client.info()["datastore"]["completed"] == 1
    assert client.next_sample("first", {})["id"] == "case-2"
    with pytest.raises(client_module.MONAILabelClientException) as missing:
        client.download_label("case-1", "original")
    assert missing.value.status_code == 404


def test_expected_dice_is_stored_for_strategy_uncertain(client, http, made_head):
    _, params = client.infer("brats_mm", "case-2", dict(SLICER))
    report = http.get(params["results"]["report.json"]).json()
    file = ExpectedDiceFile(http.service.settings.data)
    assert file.read()["case-2"] == pytest.approx(read_expected_dice(report), abs=1e-4)
    client.infer("brats_mm", "", dict(SLICER), file=str(volume(made_head)))
    assert set(file.read()) <= {"case-1", "case-2"}


@pytest.mark.parametrize("image", ["nobody", "../case-1", "notes", "..", "case-1/../case-2"])
def test_unknown_images_return_404(client, client_module, http, image):
    assert http.get("/datastore/image", params={"image": image}).status_code == 404
    with pytest.raises(client_module.MONAILabelClientException) as missing:
        client.infer("brats_mm", image, dict(SLICER))
    assert "Status: 404" in missing.value.msg


def test_unknown_models_and_sessions_return_404(client, client_module):
    for call in (
        lambda: client.infer("deepedit", "case-1", {}),
        lambda: client.infer("brats_mm", "", {}, session_id="none"),
    ):
        with pytest.raises(client_module.MONAILabelClientException) as missing:
            call()
        assert "Status: 404" in missing.value.msg


def test_request_without_image_names_what_to_send(client, client_module):
    with pytest.raises(client_module.MONAILabelClientException) as error:
        client.infer("brats_mm", "", {})
    assert "Set `image` or `session_id`, or send a `file`" in error.value.msg


def ohif_parts(answer):
    """Split a response like OHIF's plugin, which reads all of it as text."""
    boundary = answer.headers["content-type"].split("boundary=")[1]
    parts = [part for part in answer.content.decode("utf-8").split(f"--{boundary}") if part.strip()]
    message = next(part for part in parts if "Content-Type: application/json" in part)
    nrrd = next(part for part in parts if "Content-Type: application/octet-stream" in part)
    binary = nrrd.split("\r\n\r\n")[1]
    return message[message.index("{") : message.rindex("}") + 1], binary[: binary.rindex("\r\n")].encode("latin-1")


def test_ohif_reads_response_as_text_with_two_bytes_per_voxel(http):
    params = (
        '{"result_extension": ".nrrd", "result_dtype": "uint16", "result_compress": false, "restore_label_idx": false}'
    )
    query = {"image": "case-1", "output": "all"}
    answer = http.post("/infer/brats_mm", params=query, files={"params": (None, params)})
    message, nrrd = ohif_parts(answer)
    header, _, voxels = nrrd.partition(b"\n\n")
    assert b"type: unsigned short" in header
    assert b"encoding: raw" in header
    assert len(voxels) == 64 * 72 * 56 * 2
    assert '"centroids"' in message
    assert Counter(answer.content.split())[b"application/octet-stream"] == 1


def test_output_may_be_only_image_or_json(http):
    image = http.post("/infer/brats_mm", params={"image": "case-2", "output": "image"}, data={"params": "{}"})
    assert image.headers["content-type"] == "application/octet-stream"
    assert image.content[:2] == b"\x1f\x8b"
    message = http.post("/infer/brats_mm", params={"image": "case-2", "output": "json"})
    assert message.json()["label_names"] == LABELS
    dicom = http.post("/infer/brats_mm", params={"image": "case-2", "output": "dicom_seg"})
    assert (dicom.status_code, "not with DICOM" in dicom.json()["detail"]) == (422, True)
    odd = http.post("/infer/brats_mm", params={"image": "case-2"}, data={"params": '{"result_dtype": "complex"}'})
    assert (odd.status_code, "result_dtype" in odd.json()["detail"]) == (422, True)


def test_rejects_hostile_uploads(http):
    for name, data, status in (
        ("x.nii.gz", b"not a volume", 415),
        ("x.nii.gz", b"", 422),
        ("../../x_t1.nii.gz", b"\x1f\x8b" + bytes(50), 415),
        ("x.zip", b"PK\x03\x04" + bytes(50), 422),
    ):
        answer = http.put("/datastore/image", params={"image": "bad"}, files={"file": (name, io.BytesIO(data))})
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
    assert "bad" not in http.get("/datastore/", params={"output": "all"}).json()["objects"]
    assert not list((http.service.queue.files.root / "incoming").iterdir())
