"""Submit a corrected label file of a job from the page, in Chromium."""

import re
import shutil

import nibabel as nib
import numpy as np
import pytest

from tests.fakes.serving import two_files
from tests.fakes.viewer_results import make_results, report


@pytest.fixture(scope="module")
def corrected(made_results, tmp_path_factory):
    """The segmentation with a smaller oedema."""
    image = nib.load(made_results / "segmentation.nii.gz")
    labels = np.asarray(image.dataobj).copy()
    labels[:24][labels[:24] == 2] = 0
    place = tmp_path_factory.mktemp("corrected") / "corrected.nii.gz"
    nib.save(nib.Nifti1Image(labels, image.affine), place)
    return place


def fill_in(page, file, author="Dr Ann"):
    page.set_input_files("#correction-file", file)
    page.fill("#correction-author", author)
    page.check("#correction-confirmed")


def test_corrected_label_is_sent_with_author_and_scored(page_service, open_tab, made_head, corrected):
    with page_service() as client:
        tab = open_tab(client)
        page = tab.page
        tab.run(made_head)
        assert page.locator("#correction-send").is_disabled()
        page.set_input_files("#correction-file", corrected)
        page.fill("#correction-author", "Dr Ann")
        assert page.locator("#correction-send").is_disabled(), "it is not confirmed yet"
        page.check("#correction-confirmed")
        page.click("#correction-send")
        page.wait_for_selector("#correction-outcome >> text=Version 1 by Dr Ann is stored")
        assert re.search(r"Dice of the result against it: whole tumour \d\d %", page.inner_text("#correction-outcome"))
        assert "tumour core 100 %" in page.inner_text("#correction-outcome")
        assert "not trained" not in page.inner_text("#correction-outcome")
        job = client.get("/v1/jobs").json()["jobs"][0]["id"]
        assert client.get(f"/datastore/label?label={job}").content == corrected.read_bytes()
        about = client.get(f"/datastore/label/info?label={job}").json()
        assert (about["author"], about["sequences"]) == ("Dr Ann", ["t1ce", "flair"])
        page.reload()
        page.wait_for_selector("#correction-outcome >> text=Version 1 by Dr Ann is stored")
        assert page.input_value("#correction-author") == "Dr Ann"
        page.on("dialog", lambda dialog: dialog.accept())
        page.click("#correction-delete")
        page.wait_for_selector("#correction-outcome >> text=The label was deleted")
        assert client.get("/scoring/").json()["history"] == []


def test_rejects_file_on_other_grid_with_reason(page_service, open_tab, made_head, tmp_path):
    other = tmp_path / "other.nii.gz"
    nib.save(nib.Nifti1Image(np.ones((20, 20, 20), np.uint8), np.diag([3.0, 3, 3, 1])), other)
    with page_service() as client:
        tab = open_tab(client)
        tab.errors_are_expected("422")
        tab.run(made_head)
        fill_in(tab.page, other)
        tab.page.click("#correction-send")
        tab.page.wait_for_selector("#correction-outcome >> text=is on a different grid than the images")
        assert tab.page.locator("#correction-send").is_enabled(), "another file can be chosen"


def test_values_of_other_convention_are_translated(page_service, open_tab, made_head, made_results, tmp_path):
    """In the result and its correction, enhancing tumour has the value 4."""
    image = nib.load(made_results / "segmentation.nii.gz")
    affine = image.affine
    results = make_results(tmp_path / "results", affine, labels={"ncr": 1, "ed": 2, "et": 4})
    labels = np.asarray(image.dataobj).copy()
    labels[labels == 3] = 4
    nib.save(nib.Nifti1Image(labels, affine), tmp_path / "corrected.nii.gz")
    shutil.copy(tmp_path / "corrected.nii.gz", results / "segmentation.nii.gz")
    with page_service(folder=results) as client:
        tab = open_tab(client)
        tab.run(made_head)
        assert "4 enhancing tumour" in tab.page.inner_text("section:has(#correction)")
        fill_in(tab.page, tmp_path / "corrected.nii.gz")
        tab.page.click("#correction-send")
        tab.page.wait_for_selector("#correction-outcome >> text=Version 1 by Dr Ann is stored")
        job = client.get("/v1/jobs").json()["jobs"][0]["id"]
        assert client.get(f"/datastore/label/info?label={job}").json()["volumes_ml"]["et"] > 0


@pytest.mark.parametrize(("raw", "why"), [(False, "the images were not kept"), (True, "these are raw scans")])
def test_label_not_used_for_training_reports_reason(
    page_service, open_tab, made_head, made_results, corrected, tmp_path, raw, why
):
    results = made_results
    if raw:
        results = tmp_path / "results"
        affine = nib.load(made_results / "segmentation.nii.gz").affine
        make_results(results, affine, **report(affine) | {"preparation": {"kind": "raw"}})
    with page_service(folder=results) as client:
        options = {"options": f'{{"probabilities": true, "keep_upload": {str(raw).lower()}}}'}
        job = client.post("/v1/jobs", files=two_files(made_head), data=options).json()
        tab = open_tab(client, f"/viewer/#job={job['id']}")
        tab.shown()
        fill_in(tab.page, corrected)
        tab.page.click("#correction-send")
        tab.page.wait_for_selector(f"#correction-outcome >> text=not trained on it, because {why}")
