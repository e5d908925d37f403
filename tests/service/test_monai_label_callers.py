"""Images, sessions and labels of viewers: owner, lifetime and access, with a fake worker."""

import gzip
import socket
import time
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
import SimpleITK

from brats_mm.domain.volume import Grid
from brats_mm.io.volume import read_stored
from brats_mm_service.viewer.cases import ServerCases
from brats_mm_service.viewer.label_files import BAND_NATS, LabelForm, ViewerModel, compute_entropy_bands, encode_nrrd
from brats_mm_service.viewer.store import MAX_ITEMS_PER_KIND, Item, Kind, ViewerStore
from tests.fakes.dicom_series import TYPICAL, make_slices
from tests.fakes.monai_label_client import real_client
from tests.fakes.serving import LONGEST_S, serving, small_settings, until
from tests.fakes.step_gate import StepGate
from tests.fakes.viewer_results import make_results


def flair(made_head):
    return (made_head / "BraTS-GLI-00000-000-t2f.nii.gz").read_bytes()


def made_label(made_head, shape=None, value=2, dtype=np.uint8):
    """Return a label map on the head's grid, with one box of a value."""
    image = nib.load(made_head / "BraTS-GLI-00000-000-t2f.nii.gz")
    labels = np.zeros(shape or image.shape, dtype)
    labels[20:30, 20:30, 20:30] = value
    return gzip.compress(nib.Nifti1Image(labels, image.affine).to_bytes())


def bearer(text):
    return {"Authorization": f"Bearer {text}"}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """A service that requires tokens, with tokens of two callers and of one with read access only."""
    settings = small_settings(tmp_path_factory.mktemp("data"), require_tokens=True)
    with serving(settings) as http:
        result = http.service.tokens.create
        http.ann, http.bob = result("ann")[1], result("bob")[1]
        http.reader = result("eve", ("jobs:read",))[1]
        yield http


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/info/"),
        ("POST", "/infer/brats_mm?image=x"),
        ("GET", "/datastore/?output=all"),
        ("PUT", "/datastore/image?image=x"),
        ("GET", "/datastore/image?image=x"),
        ("DELETE", "/datastore/image?id=x"),
        ("PUT", "/datastore/label?image=x"),
        ("GET", "/datastore/label?label=x"),
        ("PUT", "/session/"),
        ("GET", "/session/x"),
        ("DELETE", "/session/x"),
        ("POST", "/activelearning/first"),
        ("GET", "/models"),
        ("GET", "/modelinfo?id=brats-mm-t1"),
        ("GET", "/monaiinfo"),
        ("GET", "/labelDescriptions?id=brats-mm-t1"),
        ("POST", "/infer?model_name=brats-mm-t1"),
    ],
)
def test_every_viewer_route_requires_token(guarded, method, path):
    assert guarded.request(method, path).status_code == 401
    if method in ("POST", "PUT", "DELETE") and "active" not in path:
        refused = guarded.request(method, path, headers=bearer(guarded.reader))
        assert (refused.status_code, "jobs:write" in refused.json()["detail"]) == (403, True)


def test_callers_see_only_their_own_images_sessions_and_labels(guarded, made_head):
    ann, bob = bearer(guarded.ann), bearer(guarded.bob)
    file = {"file": ("flair.nii.gz", flair(made_head))}
    assert guarded.put("/datastore/image?image=head", files=file, headers=ann).json() == {"image": "head"}
    label = {"label": ("label.nii.gz", made_label(made_head))}
    assert guarded.put("/datastore/label?image=head", files=label, headers=ann).status_code == 200
    session = guarded.put("/session/", files={"files": file["file"]}, headers=ann).json()["session_id"]
    for path in ("/datastore/image?image=head", "/datastore/label?label=head", f"/session/{session}"):
        assert guarded.get(path, headers=ann).status_code == 200
        assert guarded.get(path, headers=bob).status_code == 404
    assert guarded.get("/datastore/?output=all", headers=bob).json()["objects"] == {}
    for path in ("/datastore/image?id=head", "/datastore/label?id=head", f"/session/{session}"):
        assert guarded.delete(path, headers=bob).status_code == 404
    assert guarded.post("/infer/brats_mm?image=head", headers=bob).status_code == 404
    assert guarded.post(f"/infer/brats_mm?session_id={session}", headers=bob).status_code == 404
    assert guarded.delete("/datastore/image?id=head", headers=ann).status_code == 200
    assert guarded.get("/datastore/label?label=head", headers=ann).status_code == 404
    assert guarded.get("/datastore/", headers=ann).json()["total"] == 0


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
def test_real_client_logs_in_with_token_as_password(guarded):
    """3D Slicer asks for a name and a password. The client leaves sockets open."""
    module = real_client()
    client = module.MONAILabelClient(str(guarded.base_url))
    assert client.auth_enabled() is True
    assert client.auth_valid_token() is False
    with pytest.raises(module.MONAILabelClientException) as refused:
        client.info()
    assert refused.value.status_code == 401
    with pytest.raises(module.MONAILabelClientException) as wrong:
        client.auth_token("ann", "bmm_wrong")
    assert wrong.value.status_code == 401
    client.update_auth(client.auth_token("anybody", guarded.ann))
    assert client.auth_valid_token() is True
    assert "brats_mm" in client.info()["models"]


def test_expired_uploads_and_sessions_are_deleted_with_files(tmp_path, made_head, monkeypatch):
    with serving(small_settings(tmp_path)) as http:
        http.put("/datastore/image?image=head", files={"file": ("t1.nii.gz", flair(made_head))})
        session = http.put("/session/?expiry=600", files={"files": ("t1.nii.gz", flair(made_head))}).json()
        assert session["session_info"]["expiry"] == 600
        assert len(list(tmp_path.glob("viewers/*/*/*"))) == 2
        later = time.time() + http.service.settings.retention.result_s
        monkeypatch.setattr(http.service.viewer_store, "_now", lambda: later)
        assert http.get(f"/session/{session['session_id']}").status_code == 404
        assert http.get("/datastore/image?image=head").status_code == 404
        until(lambda: not list(tmp_path.glob("viewers/*/*/*")))


def test_uploads_survive_restart(tmp_path, made_head):
    with serving(small_settings(tmp_path)) as http:
        http.put("/datastore/image?image=head", files={"file": ("t1.nii.gz", flair(made_head))})
    with serving(small_settings(tmp_path)) as http:
        assert http.get("/datastore/image?image=head").content == flair(made_head)


def test_disconnected_viewer_cancels_its_job(tmp_path, made_head):
    with serving(small_settings(tmp_path / "data"), behaviour=StepGate(tmp_path / "gate").behaviour) as http:
        file = {"file": ("flair.nii.gz", flair(made_head))}
        request = http.build_request("POST", "/infer/brats_mm", files=file)
        head = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
        with socket.create_connection(("127.0.0.1", http.base_url.port), timeout=LONGEST_S) as viewer:
            viewer.sendall(f"POST /infer/brats_mm HTTP/1.1\r\n{head}\r\n".encode() + request.read())
            until(lambda: [job["state"] for job in http.get("/v1/jobs").json()["jobs"]] == ["running"])
        until(lambda: http.get("/v1/jobs").json()["jobs"][0]["state"] == "cancelled")


@pytest.mark.parametrize("path", ["/batch/infer/brats_mm", "/infer/deepedit", "/wsi/infer/brats_mm", "/train/deepedit"])
def test_unsupported_routes_return_404(guarded, path):
    guarded.trainer = guarded.service.tokens.create("tom", ("jobs:read", "jobs:write", "models:write"))[1]
    assert guarded.post(path, headers=bearer(guarded.trainer)).status_code == 404


@pytest.fixture(scope="module")
def computed(tmp_path_factory, made_head):
    """Results of the fake worker."""
    affine = nib.load(made_head / "BraTS-GLI-00000-000-t2f.nii.gz").affine
    return {"results": str(make_results(tmp_path_factory.mktemp("made") / "results", affine, model={"name": "made"}))}


def test_scribbles_are_ignored_whatever_they_are(tmp_path, made_head, computed):
    """The client sends them as the part `label`."""
    with serving(small_settings(tmp_path), behaviour=computed) as http:
        image = ("flair.nii.gz", flair(made_head))
        path = "/infer/brats_mm?output=json"
        without = http.post(path, files={"file": image}).json()
        for scribbles in (made_label(made_head), b"no image", b""):
            files = {"file": image, "label": ("scribbles_t1.nii.gz", scribbles)}
            answer = http.post(path, files=files).json()
            assert answer["job"] == without["job"], "the same case, so it is not computed again"
            assert answer["sequences_found"] == ["flair"]
        upload = http.service.queue.files.root / "jobs" / without["job"].rpartition("/")[2]
        assert not list(upload.rglob("*scribbles*"))


def test_case_on_server_can_be_link_named_by_series_uid(tmp_path, made_head, computed):
    uid = "1.2.826.0.1.3680043.8.498.1"
    store = tmp_path / "store"
    (store / "case-7").mkdir(parents=True)
    (store / "case-7" / "flair.nii.gz").write_bytes(flair(made_head))
    (store / uid).symlink_to("case-7")
    with serving(small_settings(tmp_path / "data", datastore=store), behaviour=computed) as http:
        answer = http.post(f"/infer/brats_mm?image={uid}&output=json")
        assert (answer.status_code, answer.json()["sequences_found"]) == (200, ["flair"])


def test_voxels_keep_slice_order_of_simpleitk_conversion(tmp_path):
    """OHIF copies the voxels of a label to the series without looking at its geometry."""
    data = np.random.default_rng(0).integers(0, 4, (10, 9, 8)).astype(float)
    (tmp_path / "series").mkdir()
    slices = make_slices(data, np.diag([-1.0, -1.0, 5.0, 1.0]), TYPICAL["t2"])
    for number, one in enumerate(slices):
        one.save_as(tmp_path / "series" / f"{number}.dcm", enforce_file_format=True)
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(tmp_path / "series")))
    SimpleITK.WriteImage(reader.Execute(), str(tmp_path / "t2.nrrd"))
    volume = read_stored(tmp_path / "t2.nrrd")
    given = encode_nrrd(volume.data.astype(np.uint8), volume.grid, LabelForm(".nrrd", "uint16", compressed=False))
    voxels = np.frombuffer(given.partition(b"\n\n")[2], "<u2")
    in_order = sorted(slices, key=lambda one: float(one.ImagePositionPatient[2]))
    assert voxels.tolist() == np.stack([one.pixel_array for one in in_order]).ravel().tolist()


def test_failed_job_responds_with_its_message(tmp_path, made_head):
    with serving(small_settings(tmp_path), behaviour={"fail": "bad-grid"}) as http:
        for _ in range(2):
            answer = http.post("/infer/brats_mm", files={"file": ("flair.nii.gz", flair(made_head))})
            assert answer.status_code == 422
            assert answer.json()["detail"] == "t1.nii.gz cannot be used."
        assert len(http.get("/v1/jobs").json()["jobs"]) == 2  # a failed job is run again


def test_names_in_any_script_and_paths_are_plain_names(tmp_path, made_head):
    with serving(small_settings(tmp_path)) as http:
        for sent in ("/home/Łukasz/Żółć/głowa_t1ce.nii.gz", "C:\\Bilder\\头_t1ce.nii.gz", "../../../tmp/x_t1ce.nii.gz"):
            result = http.put("/session/", files={"files": (sent, flair(made_head))})
            assert result.status_code == 200, result.text
            assert result.json()["session_info"]["meta"]["sequences"] == ["t1ce"]
        assert {path.name for path in tmp_path.glob("viewers/*/*/*/*")} == {"item.json", "t1ce.nii.gz"}


def test_cases_on_server_cannot_be_changed(tmp_path, made_head):
    data, store = tmp_path / "data", tmp_path / "store"
    store.mkdir()
    (store / "a_t1.nii.gz").write_bytes(flair(made_head))
    with serving(small_settings(data, datastore=store)) as http:
        for answer in (
            http.delete("/datastore/image?id=a_t1"),
            http.put("/datastore/image/info?image=a_t1", data={"info": "{}"}),
        ):
            assert (answer.status_code, "read-only" in answer.json()["detail"]) == (403, True)
        assert (store / "a_t1.nii.gz").exists()
        assert str(store) not in http.get("/datastore/?output=all").text


def test_case_ids_are_names_in_folder_only(tmp_path):
    (tmp_path / "store" / "a").mkdir(parents=True)
    (tmp_path / "t1.nii.gz").write_bytes(b"x")
    cases = ServerCases(tmp_path / "store")
    for name in ("..", ".", "", "../t1", "a/..", "/etc", str(tmp_path / "t1.nii.gz")):
        assert cases.get(name) is None
    assert ServerCases(None).ids() == []


def test_entropy_bands_start_at_entropy_of_two_way_choice():
    assert [round(bound, 3) for bound in BAND_NATS] == [0.199, 0.423, 0.611]
    entropy = np.array([0, 0.198, 0.2, 0.42, 0.43, 0.6, 0.62, 1.386], np.float32)
    assert compute_entropy_bands(entropy).tolist() == [0, 0, 1, 1, 2, 2, 3, 3]


def test_label_values_are_consecutive_from_one():
    """3D Slicer takes the first name for value 1, the second for value 2, and so on."""
    for model in ViewerModel:
        assert list(model.labels.values()) == [1, 2, 3]


def test_nrrd_file_has_voxels_in_grid_order_and_lps_geometry():
    labels = np.arange(6, dtype=np.uint8).reshape(1, 2, 3)
    affine = np.array([[2, 0, 0, 10], [0, 3, 0, 20], [0, 0, 4, 30], [0, 0, 0, 1]], np.float64)
    data = encode_nrrd(labels, Grid((1, 2, 3), affine), LabelForm(".nrrd", "uint16", compressed=False))
    header, _, voxels = data.partition(b"\n\n")
    assert np.frombuffer(voxels, "<u2").tolist() == [0, 3, 1, 4, 2, 5]  # first axis fastest
    assert b"space directions: (-2.0,0.0,0.0) (0.0,-3.0,0.0) (0.0,0.0,4.0)" in header
    assert b"space origin: (-10.0,-20.0,30.0)" in header


def test_stored_uploads_per_caller_are_limited(tmp_path, monkeypatch):
    from brats_mm_service.jobs.files import JobFiles
    from brats_mm_service.problems import Problem

    files = JobFiles(tmp_path)
    shelf = ViewerStore(files)
    for number in range(MAX_ITEMS_PER_KIND):
        shelf.put("ann", Kind.IMAGE, Item(str(number), "x"), files.incoming())
    shelf.put("ann", Kind.IMAGE, Item("0", "again"), files.incoming())
    shelf.put("bob", Kind.IMAGE, Item("1", "x"), files.incoming())
    with pytest.raises(Problem) as full:
        shelf.put("ann", Kind.IMAGE, Item("one more", "x"), files.incoming())
    assert "You already have 64 images" in full.value.detail
    item = shelf.get("ann", Kind.IMAGE, "0")
    assert item.name == "again"
    assert shelf.change("ann", Kind.IMAGE, replace(item, info={"a": 1})).used >= item.created
    later = ViewerStore(files, now=lambda: time.time() + 7200)
    assert later.all("ann", Kind.IMAGE) == []
    later.sweep()
    assert not list(tmp_path.glob("viewers/*/*/*"))
