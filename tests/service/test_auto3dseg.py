"""The remote protocol of 3D Slicer's MONAIAuto3DSeg against a running service."""

import csv
import fnmatch
import io

import numpy as np
import pytest
import SimpleITK

from brats_mm.domain.options import ModelOptions
from brats_mm_service.settings import WorkerSettings
from tests.fakes.serving import serving, small_settings, until

pytestmark = pytest.mark.slow

BRATS_2023 = {"T1": "t1n", "T1ce": "t1c", "T2": "t2w", "FLAIR": "t2f"}


@pytest.fixture(scope="module")
def http(tmp_path_factory, tiny_bundle):
    worker = WorkerSettings(ModelOptions(bundle=tiny_bundle, device="cpu", window=64, overlap=0.0))
    with serving(small_settings(tmp_path_factory.mktemp("data"), worker=worker), behaviour="real") as http:
        until(lambda: http.get("/readyz").status_code == 200)
        yield http


@pytest.fixture(scope="module")
def nrrds(tmp_path_factory, made_head):
    """The sequences as 3D Slicer sends them: uncompressed NRRD."""
    folder = tmp_path_factory.mktemp("nrrd")
    for title, name in BRATS_2023.items():
        image = SimpleITK.ReadImage(str(made_head / f"BraTS-GLI-00000-000-{name}.nii.gz"))
        SimpleITK.WriteImage(image, str(folder / f"{title}.nrrd"), useCompression=False)
    return folder


def sent(nrrds, *titles):
    names = ["image_file", *(f"image_file_{number}" for number in range(2, 5))]
    return {
        field: (f"input-volume{number}.nrrd", (nrrds / f"{title}.nrrd").read_bytes())
        for number, (field, title) in enumerate(zip(names, titles, strict=False))
    }


def test_each_of_the_15_subsets_has_a_model(http):
    models = http.get("/models").json()
    subsets = {tuple(given["title"] for given in model["inputs"]) for model in models}
    assert (len(models), len({model["id"] for model in models}), len(subsets)) == (15, 15, 15)
    assert models[0]["id"] == "brats-mm-t1-t1ce-t2-flair"
    for key in ("title", "version", "imagingModality", "description", "segmentNames", "details", "deprecated", "url"):
        assert all(key in model for model in models)


@pytest.mark.parametrize(
    "names",
    [
        {title: f"BraTS-GLI-00003-000-{name}" for title, name in BRATS_2023.items()},
        {"T1": "T1w", "T1ce": "T1ce", "T2": "T2w", "FLAIR": "FLAIR"},
        {"T1": "x_t1w", "T1ce": "x_t1gd", "T2": "x_t2w", "FLAIR": "x_flair"},
    ],
)
def test_volumes_match_inputs_by_name_only(http, names):
    for given in http.get("/models").json()[0]["inputs"]:
        result = [title for title, name in names.items() if fnmatch.fnmatchcase(name, given["namePattern"])]
        assert result == [given["title"]]


def test_describes_one_model_and_returns_404_for_unknown_models(http):
    models = http.get("/models").json()
    assert http.get("/modelinfo", params={"id": models[3]["id"]}).json() == models[3]
    for path, query in (("/modelinfo", "id"), ("/labelDescriptions", "id")):
        assert http.get(path, params={query: "brain-v1"}).status_code == 404
    assert http.post("/infer", params={"model_name": "brain-v1"}).status_code == 404
    assert "BraTS-MM" in http.get("/monaiinfo").json()


def test_labels_have_names_and_codes_in_columns_of_slicer(http):
    answer = http.get("/labelDescriptions", params={"id": "brats-mm-t1ce"})
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [int(row["LabelValue"]) for row in rows] == [1, 2, 3]
    assert [row["SegmentedPropertyTypeCodeSequence.CodeValue"] for row in rows] == ["6574001", "79654002", "C113842"]
    assert {row["AnatomicRegionSequence.CodeMeaning"] for row in rows} == {"Brain"}
    assert {row["SegmentedPropertyTypeModifierCodeSequence.CodeValue"] for row in rows} == {""}
    assert {len(row) for row in rows} == {2 + 5 * 3}


@pytest.mark.parametrize(("model", "titles"), [("brats-mm-t1ce-flair", ["T1ce", "FLAIR"]), ("brats-mm-t2", ["T2"])])
def test_subset_returns_label_map_on_its_grid(http, nrrds, tmp_path, model, titles):
    answer = http.post("/infer", params={"model_name": model}, files=sent(nrrds, *titles))
    assert answer.status_code == 200, answer.text
    place = tmp_path / "output-segmentation.nrrd"
    place.write_bytes(answer.content)
    labels, source = SimpleITK.ReadImage(str(place)), SimpleITK.ReadImage(str(nrrds / f"{titles[0]}.nrrd"))
    assert labels.GetPixelID() == SimpleITK.sitkUInt8
    assert labels.GetSize() == source.GetSize()
    np.testing.assert_allclose(labels.GetOrigin(), source.GetOrigin(), atol=1e-4)
    np.testing.assert_allclose(labels.GetDirection(), source.GetDirection(), atol=1e-6)
    job = http.get("/v1/jobs").json()["jobs"][0]
    assert job["sequences_found"] == [title.lower() for title in titles]


def test_rejects_too_few_or_too_many_volumes(http, nrrds):
    for titles in (["T1ce"], ["T1ce", "FLAIR", "T2"]):
        answer = http.post("/infer", params={"model_name": "brats-mm-t1ce-flair"}, files=sent(nrrds, *titles))
        assert answer.status_code == 422
        assert "needs 2 volumes: T1ce, FLAIR" in answer.json()["detail"]
