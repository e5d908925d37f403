"""Zipping a bundle gives the same bytes each time and hashes for `sha256sum -c`. The unzipped bundle works."""

import hashlib
import json
import shutil
import zipfile
from pathlib import Path

import pytest

from brats_mm.cli.main import main
from brats_mm.errors import BundleError, OutputError
from brats_mm.io.bundle import Bundle, default_bundle, open_bundle
from brats_mm.packaging.zip import zip_bundle
from brats_mm.pipeline.network import load_network


@pytest.fixture
def small(tmp_path: Path) -> Bundle:
    """A bundle without a network. A few bytes stand for the weights."""
    root = tmp_path / "small"
    for name, text in {
        "configs/metadata.json": '{"name": "small", "version": "1.0.0"}',
        "models/model.pt": "w",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (root / "models" / "SHA256SUMS").write_text(f"{hashlib.sha256(b'w').hexdigest()}  model.pt\n")
    return Bundle(root)


def test_equal_bundles_give_equal_zips(small: Bundle, tmp_path: Path) -> None:
    first = zip_bundle(small, tmp_path / "a")
    (small.root / "configs" / "__pycache__").mkdir()
    (small.root / "configs" / "__pycache__" / "x.pyc").write_text("")
    (small.root / ".DS_Store").write_text("")
    copy = tmp_path / "elsewhere"
    shutil.copytree(small.root, copy)
    again = zip_bundle(Bundle(copy), tmp_path / "b")
    assert first.path.read_bytes() == again.path.read_bytes()
    assert first.files == again.files == 3


def test_hashes_inside_and_next_to_zip_are_right(small: Bundle, tmp_path: Path) -> None:
    result = zip_bundle(small, tmp_path)
    assert result.path.name == "small_v1.0.0.zip"
    beside = (tmp_path / "small_v1.0.0.zip.sha256").read_text().split()
    assert beside == [hashlib.sha256(result.path.read_bytes()).hexdigest(), result.path.name]
    with zipfile.ZipFile(result.path) as archive:
        lines = archive.read("small/SHA256SUMS").decode().splitlines()
        assert len(lines) == result.files == len(archive.namelist()) - 1
        for line in lines:
            digest, name = line.split("  ")
            assert hashlib.sha256(archive.read(f"small/{name}")).hexdigest() == digest


def test_rejects_weights_with_other_hash(small: Bundle, tmp_path: Path) -> None:
    small.weights.write_text("other")
    with pytest.raises(BundleError, match="do not match the recorded hash"):
        zip_bundle(small, tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_rejects_bundle_without_version(small: Bundle, tmp_path: Path) -> None:
    (small.root / "configs" / "metadata.json").write_text('{"name": "small"}')
    with pytest.raises(BundleError, match="`name` and `version`"):
        zip_bundle(small, tmp_path)


def test_existing_zip_is_replaced_only_with_overwrite(small: Bundle, tmp_path: Path) -> None:
    zip_bundle(small, tmp_path)
    with pytest.raises(OutputError, match=r"small_v1\.0\.0\.zip already exists"):
        zip_bundle(small, tmp_path)
    assert zip_bundle(small, tmp_path, overwrite=True).files == 3


@pytest.mark.slow
def test_shipped_bundle_works_when_unzipped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bundle", "zip", "-o", str(tmp_path), "--json"]) == 0
    reported = json.loads(capsys.readouterr().out)
    with zipfile.ZipFile(reported["path"]) as archive:
        archive.extractall(tmp_path / "unzipped")
    _, identity = load_network(open_bundle(tmp_path / "unzipped" / "brats_mm_segmentation"))
    _, shipped = load_network(open_bundle(default_bundle()))
    assert identity.weights_sha256 == shipped.weights_sha256
