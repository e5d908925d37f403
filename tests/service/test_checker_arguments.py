"""The service sends its checker exactly the arguments of each task, because they cross a process by name."""

import inspect
from pathlib import Path

import pytest

from brats_mm.pipeline.dicom_study import SeriesOverrides
from brats_mm_service.settings import UploadLimits
from brats_mm_service.uploads.multipart import ReceivedFile
from brats_mm_service.workers.checker import UploadChecker
from brats_mm_service.workers.checker_process import TASKS

FILE, FOLDER = ReceivedFile("t1", "t1.nii.gz", Path("part-1"), 1, ""), Path("folder")
CALLS = {
    "sort_upload": lambda checker: checker.sort_upload((FILE,), FOLDER),
    "sort_viewer_files": lambda checker: checker.sort_viewer_files((FILE,), FOLDER, hint="head"),
    "store_label": lambda checker: checker.store_label(FILE, FOLDER, "t1.nii.gz", {1: 2}),
    "score_label": lambda checker: checker.score_label(FOLDER),
    "store_study": lambda checker: checker.store_study(FOLDER, FOLDER, SeriesOverrides()),
    "inspect_zip": lambda checker: checker.inspect_zip(FOLDER, FOLDER, SeriesOverrides()),
}


def test_every_task_is_called():
    assert set(TASKS) == set(CALLS)


@pytest.mark.parametrize("task", CALLS)
def test_arguments_match_task(task, monkeypatch):
    sent = {}
    checker = UploadChecker(UploadLimits())
    monkeypatch.setattr(checker, "_call", lambda name, result, folders, arguments: sent.update({name: arguments}))
    CALLS[task](checker)
    inspect.signature(TASKS[task]).bind(**sent[task])
