"""Real cases with all 15 subsets: every output opens, is on the input grid, and has the expected content."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK

from brats_mm import Segmenter
from brats_mm.domain.availability import SUBSETS, format_subset
from brats_mm.domain.modality import MODALITIES, Modality
from brats_mm.errors import GridError
from brats_mm.io.recognise import recognise
from brats_mm.pipeline.request import make_request
from brats_mm.pipeline.segment import segment

pytestmark = pytest.mark.real
MOST_CASES = 3


@pytest.fixture(scope="module")
def segmenter():
    return Segmenter.from_bundle(device="cpu")


def complete_cases(folder: Path) -> list[Path]:
    """Return up to three case folders with four sequences on one grid."""
    result = []
    for case in sorted(path for path in folder.iterdir() if path.is_dir()):
        files = recognise(case).paths
        shapes = {nib.load(path).shape for path in files.values()}
        if len(files) == len(MODALITIES) and len(shapes) == 1:
            result.append(case)
    return result[:MOST_CASES]


@pytest.mark.parametrize("subset", SUBSETS, ids=format_subset)
def test_every_output_of_every_subset_is_on_input_grid(real_cases, segmenter, tmp_path, subset):
    cases = complete_cases(real_cases)
    if not cases:
        pytest.skip("no case with four sequences on one grid")
    for case in cases:
        files = recognise(case).paths
        given = {modality: Path(files[modality]) for modality in subset}
        out = tmp_path / case.name
        segment(make_request(given, out, probabilities=True), segmenter)
        source = nib.load(next(iter(given.values())))
        for path in out.glob("*.nii.gz"):
            image = nib.load(path)
            assert image.shape == source.shape
            np.testing.assert_array_equal(image.affine, source.affine)
            for code in ("sform_code", "qform_code"):
                assert int(image.header[code]) == int(source.header[code])
            assert np.isfinite(image.get_fdata(dtype=np.float32)).all()
        labels = np.asarray(nib.load(out / "segmentation.nii.gz").dataobj)
        assert set(np.unique(labels)) <= {0, 1, 2, 3}
        ours = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(out / "segmentation.seg.nrrd")))
        assert (ours > 0).sum() == (labels > 0).sum()
        report = json.loads((out / "report.json").read_text())
        assert set(report["sequences_found"]) == {modality.value for modality in subset}


def test_sequences_on_different_grids_are_registered_unless_declared_prepared(real_cases, segmenter):
    for case in sorted(path for path in real_cases.iterdir() if path.is_dir()):
        files = recognise(case).paths
        if len({nib.load(path).shape for path in files.values()}) > 1:
            with pytest.raises(GridError, match="grid"):
                segmenter.predict(case, prepared=True)
            prediction = segmenter.predict(case, reference=Modality.T1CE)
            reference = nib.load(files[Modality.T1CE])
            assert prediction.labels().shape == reference.shape
            np.testing.assert_allclose(prediction.case.grid.affine, reference.affine, atol=1e-4)
            return
    pytest.skip("no case with sequences on different grids")
