"""Run a case again without one of its sequences, and compare the two results."""

import shutil
import zipfile

import nibabel as nib
import numpy as np
import pytest

from tests.fakes.dicom_series import TYPICAL, write_series
from tests.fakes.viewer_results import make_results, report
from tests.fakes.viewer_tab import TWO, changed, count

ONLY_WITH, ONLY_WITHOUT = (64, 156, 255), (232, 93, 224)


@pytest.fixture(scope="module")
def smaller_results(made_head, tmp_path_factory):
    """Results of the case without FLAIR: less oedema."""
    affine = nib.load(made_head / "BraTS-GLI-00000-000-t1c.nii.gz").affine
    regions = report(affine)["regions"]
    regions["wt"]["volume_ml"] = 9.0
    return make_results(tmp_path_factory.mktemp("smaller") / "results", affine, oedema_mm=13, regions=regions)


def test_case_is_rerun_without_sequence_and_compared(page_service, open_tab, made_head, smaller_results):
    with page_service(without={"flair": str(smaller_results)}) as client:
        tab = open_tab(client)
        page = tab.page
        tab.run(made_head)
        page.click("text=Without FLAIR")
        page.wait_for_selector("#what-if-outcome table")
        first, second = client.get("/v1/jobs").json()["jobs"][::-1]
        assert second["sequences_found"] == ["t1ce"]
        assert second["options"]["keep_upload"] == first["options"]["keep_upload"]
        row = page.inner_text("#what-if-outcome tbody tr >> nth=0").split("\t")
        assert row[1:4] == ["17.1 mL", "9.0 mL", "−8.1 mL"]
        assert 60 < int(row[4].removesuffix(" %")) < 90
        core = page.inner_text("#what-if-outcome tbody tr >> nth=1").split("\t")
        assert core[4] == "100 %"
        assert tab.marks("title", 1) == ["T1ce, without FLAIR"]
        assert tab.readout()["Without FLAIR"] == "Necrotic and non-enhancing core"
        tab.slide("entropy-opacity", 1)
        for pane in (0, 1):
            assert count(tab.picture(pane), ONLY_WITH) > 200, "the oedema that only the first result has"
            assert count(tab.picture(pane), ONLY_WITHOUT) == 0
        different = tab.picture()
        with tab.redrawn():
            page.uncheck("#difference-shown")
        assert changed(different, tab.picture()) > 200
        assert f"with={second['id']}" in page.url
        page.reload()
        page.wait_for_selector("#what-if-outcome table")
        assert page.locator(".picture[data-state=ready]").count() == 2
        assert "Without FLAIR" in tab.readout()
        page.click("#end-comparison")
        assert page.locator(".picture").count() == 1
        assert "Without FLAIR" not in tab.readout()
        assert "with=" not in page.url


def test_failed_rerun_is_reported_and_can_be_repeated(page_service, open_tab, made_head):
    with page_service() as client:
        tab = open_tab(client)
        page = tab.page
        tab.run(made_head)
        error = {"title": "A volume cannot be used", "detail": "t1c.nii.gz is damaged."}
        failed = client.get("/v1/jobs").json()["jobs"][0] | {"id": "second", "state": "failed", "error": error}
        page.route("**/v1/jobs", lambda route: route.fulfill(status=202, json=failed))
        page.click("button:has-text('Without FLAIR')")
        page.wait_for_selector("#what-if-outcome .problem")
        assert page.inner_text("#what-if-outcome strong") == error["title"]
        assert page.inner_text("#what-if-outcome p") == error["detail"]
        assert page.locator("button:has-text('Without FLAIR')").is_enabled()


def test_zip_is_rerun_without_sequence_when_no_images_were_kept(
    page_service, open_tab, made_head, smaller_results, tmp_path
):
    archive = tmp_path / "case.zip"
    with zipfile.ZipFile(archive, "w") as content:
        for name in TWO:
            content.write(made_head / name, name)
    with page_service(without={"flair": str(smaller_results)}) as client:
        tab = open_tab(client)
        tab.page.set_input_files("#choose-files", archive)
        tab.page.wait_for_selector("#run")
        if tab.page.is_checked("#keep"):
            tab.page.uncheck("#keep")
        tab.page.click("#run")
        tab.shown()
        tab.page.click("text=Without FLAIR")
        tab.page.wait_for_selector("#what-if-outcome table")
        second, first = client.get("/v1/jobs").json()["jobs"]
        assert first["sequences_found"] == ["t1ce", "flair"]
        assert second["sequences_found"] == ["t1ce"]
        assert second["ignored"] == {TWO[1]: "omitted by the option series"}


@pytest.mark.parametrize("reopened", [False, True], ids=["in the tab that sent it", "from what the service kept"])
def test_dicom_study_is_rerun_without_sequence(
    page_service, open_tab, made_head, made_results, smaller_results, tmp_path, reopened
):
    """The results contain the series as volumes, on which the page shows both results."""
    for name in ("t1ce", "flair"):
        data = np.random.default_rng(0).integers(0, 900, (24, 24, 12))
        write_series(tmp_path / "exam" / name, data, np.diag([8.0, 8, 12, 1]), TYPICAL[name])
    results = shutil.copytree(made_results, tmp_path / "results")
    shutil.copy(made_head / TWO[0], results / "image_t1ce.nii.gz")
    with page_service(folder=results, without={"flair": str(smaller_results)}) as client:
        tab = open_tab(client)
        tab.page.set_input_files("#choose-folder", str(tmp_path / "exam"))
        tab.page.wait_for_selector("#run:enabled")
        tab.page.click("#run")
        tab.shown()
        assert tab.marks("title") == ["T1ce"]
        first = client.get("/v1/jobs").json()["jobs"][0]
        if reopened:
            tab = open_tab(client, f"/viewer/#job={first['id']}")
            tab.shown()
        tab.page.click("text=Without FLAIR")
        tab.page.wait_for_selector("#what-if-outcome table")
        second = client.get("/v1/jobs").json()["jobs"][0]
        assert (first["sequences_found"], second["sequences_found"]) == (["t1ce", "flair"], ["t1ce"])
        row = tab.page.inner_text("#what-if-outcome tbody tr >> nth=0").split("\t")
        assert row[1:4] == ["17.1 mL", "9.0 mL", "−8.1 mL"]


def test_case_without_kept_images_cannot_be_rerun(page_service, open_tab, made_head):
    from tests.fakes.serving import two_files

    with page_service() as client:
        job = client.post("/v1/jobs", files=two_files(made_head), data={"options": '{"probabilities": true}'}).json()
        tab = open_tab(client, f"/viewer/#job={job['id']}")
        tab.shown()
        assert "cannot be run again" in tab.page.inner_text("section:has(#what-if)")
        assert not tab.page.locator("text=Without FLAIR").count()


def test_failed_rerun_is_reported_next_to_result(page_service, open_tab, made_head):
    with page_service() as client:
        tab = open_tab(client)
        tab.run(made_head)
        tab.errors_are_expected("429")
        tab.page.route(
            "**/v1/jobs", lambda route: route.fulfill(status=429, json={"title": "Too many", "detail": "Wait a bit."})
        )
        tab.page.click("text=Without FLAIR")
        tab.page.wait_for_selector("section:has(#what-if) >> text=Wait a bit.")
        tab.page.unroute("**/v1/jobs")
        tab.page.click("text=Without FLAIR")
        tab.page.wait_for_selector("#what-if-outcome table")
