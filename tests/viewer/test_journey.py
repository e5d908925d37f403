"""A complete session in Chromium: submit two of four sequences, follow the job, and view the result."""

import re
from dataclasses import replace

import numpy as np
import pytest

from brats_mm.domain.options import ModelOptions
from brats_mm_service.settings import WorkerSettings
from tests.fakes.dicom_series import TYPICAL, write_series
from tests.fakes.serving import serving, small_settings, two_files, until
from tests.fakes.step_gate import StepGate
from tests.fakes.viewer_tab import TWO, changed

STATEMENT = "Not a medical device; not for diagnosis"
# The page records every value of the progress bar, so that none is missed.
RECORD_THE_BAR = """() => {
    window.bar = [];
    const set = Object.getOwnPropertyDescriptor(HTMLProgressElement.prototype, "value");
    Object.defineProperty(HTMLProgressElement.prototype, "value", {
        ...set,
        set(value) {
            set.set.call(this, value);
            if (this.getAttribute("aria-label") === "Progress") window.bar.push(this.value);
        },
    });
}"""


def test_two_of_four_sequences_from_files_to_results(page_service, open_tab, made_head, tmp_path):
    gate = StepGate(tmp_path / "gate")
    with page_service(steps=3, **gate.behaviour) as client:
        tab = open_tab(client)
        page = tab.page
        assert STATEMENT in page.locator("footer").inner_text()
        assert "Raw scans are registered and skull-stripped automatically" in page.locator(".drop").inner_text()
        tab.give(made_head)
        slots = [slot.inner_text().split()[:2] for slot in page.locator(".slot").all()]
        assert slots == [["T1", "missing"], ["T1ce", "found"], ["T2", "missing"], ["FLAIR", "found"]]
        page.click("#run")
        gate.open(2)
        page.wait_for_selector(".stages .now:has-text('Segmenting'):has-text('of 3')")
        assert re.search("#job=.{10,}", page.url)
        gate.open(6)
        tab.shown()
        assert page.locator("header .missing").all_inner_texts() == ["T1 missing", "T2 missing"]
        assert STATEMENT in page.locator("footer").inner_text()
        side = page.locator(".side").inner_text()
        for words in ("17.1", "14.2 to 20.5", "60 %", "Segmented without T1, T2.", "78 %"):
            assert words in side
        page.click("summary")
        assert "something-new.bin" in page.locator(".results").inner_text()


def test_file_assignment_can_be_corrected(page_service, open_tab, made_head, tmp_path):
    unnamed = tmp_path / "first.nii.gz"
    unnamed.write_bytes((made_head / TWO[0]).read_bytes())
    with page_service() as client:
        tab = open_tab(client)
        page = tab.page
        page.set_input_files("#choose-files", [unnamed, made_head / TWO[1]])
        assert "its name contains no sequence" in page.locator(".files").inner_text()
        page.select_option("#sequence-0", "flair")
        assert "more than one file" in page.locator("#why").inner_text()
        assert page.locator("#run").is_disabled()
        page.select_option("#sequence-0", "t1ce")
        page.click("#run")
        tab.shown()
        job = client.get("/v1/jobs").json()["jobs"][0]
        assert job["sequences_found"] == ["t1ce", "flair"]
        assert job["options"]["probabilities"] is True


def test_accepts_folder_and_dropped_files(page_service, open_tab, made_head):
    with page_service() as client:
        tab = open_tab(client)
        tab.page.set_input_files("#choose-folder", str(made_head))
        assert tab.page.locator(".slot.there").count() == 4
        tab.page.click("#run")
        tab.shown()
        files = client.get("/v1/jobs").json()["jobs"][0]["files"]
        assert files["t1ce"] == TWO[0], "a name without the chosen folder"
        tab.page.click("text=New case")
        tab.page.wait_for_selector(".drop")
        tab.page.evaluate(
            """() => {
                const data = new DataTransfer();
                data.items.add(new File(["x"], "case_t2.nii"));
                document.querySelector(".drop").dispatchEvent(new DragEvent("drop", {dataTransfer: data, bubbles: true}));
            }"""
        )
        tab.page.wait_for_selector(".slot.there >> text=T2")
        assert tab.page.locator(".slot.there").count() == 1


def test_job_reopens_from_its_address(page_service, open_tab, made_head):
    with page_service() as client:
        options = {"options": '{"probabilities": true, "keep_upload": true}'}
        job = client.post("/v1/jobs", files=two_files(made_head), data=options).json()
        again = open_tab(client, f"/viewer/#job={job['id']}")
        again.shown()
        assert again.page.locator("#background option").all_inner_texts() == ["T1ce", "FLAIR"]
        again.page.click("text=New case")
        again.page.click(".jobs a")
        again.shown()
        again.page.on("dialog", lambda dialog: dialog.accept())
        again.page.click("text=delete this job now")
        again.page.wait_for_selector("text=None yet")


def test_images_that_were_not_kept_can_be_added_again(page_service, open_tab, made_head):
    with page_service() as client:
        job = client.post("/v1/jobs", files=two_files(made_head), data={"options": '{"probabilities": true}'}).json()
        again = open_tab(client, f"/viewer/#job={job['id']}")
        again.shown()
        dark = again.picture()
        again.page.set_input_files("#add-image", made_head / TWO[0])
        again.until(lambda: changed(dark, again.picture()) > 1000)


def test_service_problems_are_shown(page_service, open_tab, made_head, tmp_path):
    wrong = tmp_path / "case_t1.nii.gz"
    wrong.write_bytes(b"not a volume")
    with page_service(
        fail="bad-volume", detail="flair.nii.gz holds labels, not an image. Provide the image itself."
    ) as client:
        tab = open_tab(client)
        tab.errors_are_expected("415")
        tab.page.set_input_files("#choose-files", wrong)
        tab.page.click("#run")
        assert "case_t1.nii.gz is not a volume file by its content" in tab.page.locator(".problem").inner_text()
        tab.give(made_head)
        tab.page.click("#run")
        tab.page.wait_for_selector("h1:has-text('A volume cannot be used')")
        reported = tab.page.locator(".problem").inner_text()
        assert f"{TWO[1]} holds labels, not an image" in reported, "the name of the user's file, not the service's"


def test_job_can_be_cancelled(page_service, open_tab, made_head, tmp_path):
    gate = StepGate(tmp_path / "gate")
    gate.open(2)
    with page_service(steps=1, **gate.behaviour) as client:
        tab = open_tab(client)
        tab.give(made_head)
        tab.page.click("#run")
        tab.page.wait_for_selector(".stages .now:has-text('Segmenting')")
        waiting = open_tab(client)
        waiting.give(made_head)
        waiting.page.click("#run")
        waiting.page.wait_for_selector("text=next in the queue")
        tab.page.click("#cancel")
        tab.page.wait_for_selector("h1:has-text('Cancelled')")
        waiting.page.click("#cancel")
        waiting.page.wait_for_selector("h1:has-text('Cancelled')")


def test_progress_bar_grows_and_is_full_only_at_end(page_service, open_tab, made_head, tmp_path):
    gate = StepGate(tmp_path / "gate")
    with page_service(steps=4, **gate.behaviour) as client:
        tab = open_tab(client)
        tab.page.evaluate(RECORD_THE_BAR)
        tab.give(made_head)
        tab.page.click("#run")
        seen = []
        for stage in [
            "Reading",
            "Preprocessing registering T1 to T1ce",
            *(f"Segmenting part {part} of 4" for part in (1, 2, 3, 4)),
            "Writing",
        ]:
            tab.until(
                lambda requested=stage: " ".join(tab.page.locator(".stages .now").inner_text().split()) == requested
            )
            seen.append(tab.page.locator("progress").evaluate("bar => bar.value"))
            gate.open(len(seen))
        tab.shown()
        assert seen == pytest.approx([0, 0.1, 0.35, 0.5, 0.65, 0.8, 0.85])
        every = tab.page.evaluate("window.bar")
        assert every == sorted(every)
        assert sorted(set(every)) == pytest.approx([0, 0.1, 0.35, 0.5, 0.65, 0.8, 0.85])


def test_unreachable_service_is_reported_until_it_responds(page_service, open_tab, made_head, tmp_path):
    gate = StepGate(tmp_path / "gate")
    with page_service(steps=1, **gate.behaviour) as client:
        tab = open_tab(client)
        tab.errors_are_expected("ERR_FAILED", "ERR_CONNECTION_REFUSED")
        tab.page.route("**/events", lambda route: route.abort())
        tab.give(made_head)
        tab.page.click("#run")
        tab.page.wait_for_selector(".stages .now")
        tab.page.route("**/v1/jobs/*", lambda route: route.abort("connectionrefused"))
        tab.page.wait_for_selector("#silence >> text=No response from the service since")
        assert "continues the job" in tab.page.inner_text("#silence")
        tab.page.unroute("**/v1/jobs/*")
        tab.page.wait_for_selector("#silence:empty", state="attached")
        gate.open(4)
        tab.shown()


def test_dicom_folder_is_zipped_in_page(page_service, open_tab, tmp_path):
    rng = np.random.default_rng(0)
    for name in ("t1ce", "flair"):
        write_series(
            tmp_path / "exam" / name, rng.integers(0, 900, (24, 24, 12)), np.diag([8.0, 8, 12, 1]), TYPICAL[name]
        )
    for path in (tmp_path / "exam").glob("*/*"):
        path.rename(path.with_suffix(""))
    with page_service() as client:
        tab = open_tab(client)
        tab.page.set_input_files("#choose-folder", str(tmp_path / "exam"))
        tab.page.wait_for_selector(".archive >> text=exam.zip")
        tab.page.wait_for_selector(".files tbody tr >> nth=1")
        assert tab.page.locator(".bids").count() == 0, "DICOM is not a BIDS dataset"
        tab.page.click("#run")
        tab.shown()
        assert client.get("/v1/jobs").json()["jobs"][0]["sequences_found"] == ["t1ce", "flair"]


def write_small(folder, name, facts):
    rng = np.random.default_rng(facts.number)
    write_series(folder / name, rng.integers(0, 900, (24, 24, 12)), np.diag([8.0, 8, 12, 1]), facts)


def test_ambiguous_series_are_chosen_in_the_table(page_service, open_tab, tmp_path):
    write_small(tmp_path / "exam", "a", TYPICAL["t2"])
    second = replace(TYPICAL["t2"], number=8)
    write_small(tmp_path / "exam", "b", second)
    write_small(tmp_path / "exam", "c", TYPICAL["t1ce"])
    with page_service() as client:
        tab = open_tab(client)
        page = tab.page
        page.set_input_files("#choose-folder", str(tmp_path / "exam"))
        page.wait_for_selector(".slot.ambiguous >> text=T2")
        assert page.inner_text("#undecided") == "T2: choose in the table, or segment without it."
        labels = page.locator(".study label.file").all_inner_texts()
        assert labels == ["3 AX T2 TSE", "5 AX T1 MPRAGE post Gd", "8 AX T2 TSE"]
        page.select_option("#series-2", "t2")
        assert page.locator(".slot.ambiguous").count() == 0
        assert page.locator(".slot.there").count() == 2
        assert "Your choice. It is one of several equally good T2." in page.locator(".study").inner_text()
        page.click("#run")
        tab.shown()
        job = client.get("/v1/jobs").json()["jobs"][0]
        assert job["sequences_found"] == ["t1ce", "t2"]
        assert second.series_uid.endswith(job["options"]["series"]["t2"])


def test_one_of_several_studies_is_chosen(page_service, open_tab, tmp_path):
    write_small(tmp_path / "both", "a", replace(TYPICAL["t1ce"], extra={"StudyDate": "20230101"}))
    write_small(tmp_path / "both", "b", replace(TYPICAL["flair"], study="later", extra={"StudyDate": "20240301"}))
    with page_service() as client:
        tab = open_tab(client)
        tab.page.set_input_files("#choose-folder", str(tmp_path / "both"))
        tab.page.wait_for_selector("#study")
        studies = tab.page.locator("#study option").all_inner_texts()
        assert [text.split(": ")[1] for text in studies] == ["1 series, T1ce", "1 series, FLAIR"]
        tab.page.select_option("#study", index=1)
        assert tab.page.locator(".slot.there").inner_text().split()[0] == "FLAIR"
        tab.page.click("#run")
        tab.shown()
        assert client.get("/v1/jobs").json()["jobs"][0]["sequences_found"] == ["flair"]


def test_job_is_polled_when_events_fail(page_service, open_tab, made_head):
    with page_service(steps=2) as client:
        tab = open_tab(client)
        tab.errors_are_expected("ERR_FAILED")
        tab.page.route("**/events", lambda route: route.abort())
        tab.run(made_head)


def test_token_is_requested_and_not_in_address(page_service, open_tab, made_head, tmp_path):
    settings = small_settings(tmp_path / "guarded", require_tokens=True)
    with page_service(settings) as client:
        _, text = client.service.tokens.create("viewer", ("jobs:read", "jobs:write"), 1)
        tab = open_tab(client)
        tab.errors_are_expected("401")
        tab.page.fill("#token-text", "wrong")
        tab.page.click("text=Continue")
        tab.page.wait_for_selector("dialog >> text=unknown, expired or revoked")
        tab.page.fill("#token-text", text)
        tab.page.click("text=Continue")
        tab.page.wait_for_selector("text=None yet")
        tab.run(made_head)
        assert text not in tab.page.url
        assert tab.page.evaluate("sessionStorage.length") == 1
        assert tab.page.evaluate("JSON.stringify({...localStorage})") == "{}"
        with tab.page.expect_download() as everything:
            tab.page.click("text=Download everything")
        assert everything.value.path().read_bytes()[:2] == b"PK"


def test_real_worker_results_fill_page(built_page, open_tab, tiny_bundle, made_head, tmp_path):
    """The library writes every part that the page reads. The network is tiny and random."""
    worker = WorkerSettings(ModelOptions(bundle=tiny_bundle, device="cpu", window=64))
    with serving(replace(small_settings(tmp_path), worker=worker), behaviour="real") as client:
        until(lambda: client.get("/readyz").status_code == 200)
        tab = open_tab(client)
        tab.run(made_head)
        titles = tab.page.locator(".panel h2").all_inner_texts()
        assert {"Volumes", "Regions to review", "Gate weights of the sequences", "Warnings", "Files"} <= set(titles)
        assert "expected Dice" in tab.page.locator("[aria-labelledby=trust] thead").inner_text()
        assert "interval" in tab.page.locator("[aria-labelledby=volumes] thead").inner_text()
        tab.until(lambda: "Whole tumour" in tab.readout())
        assert (tab.picture().max(axis=-1) > 60).mean() > 0.03
