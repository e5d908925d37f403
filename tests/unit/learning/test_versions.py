"""Versions of a site's model: names, activation, rollback, and leftovers of interrupted training runs."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from brats_mm.errors import BundleError, OptionError
from brats_mm.io.bundle import compute_sha256
from brats_mm.learning.versions import ACTIVE, BASE, ActiveModel, ModelVersions, make_next_version


def bundle(folder, weights=b"weights"):
    (folder / "configs").mkdir(parents=True)
    (folder / "models").mkdir()
    (folder / "configs" / "metadata.json").write_text("{}", encoding="utf-8")
    (folder / "models" / "model.pt").write_bytes(weights)
    digest = compute_sha256(folder / "models" / "model.pt")
    (folder / "models" / "SHA256SUMS").write_text(f"{digest}  model.pt\n", encoding="utf-8")
    return folder


@pytest.fixture
def versions(tmp_path):
    made = ModelVersions(tmp_path / "models")
    for number in (1, 2):
        made.adopt(bundle(tmp_path / f"new-{number}"), f"0.7.0+site.{number}")
    return made


def test_names_count_up_from_installed_version():
    assert make_next_version("0.7.0", []) == "0.7.0+site.1"
    assert make_next_version("0.7.0+site.4", ["0.7.0+site.4", "0.7.0+site.2"]) == "0.7.0+site.5"
    assert make_next_version("0.8.0", ["0.7.0+site.9"]) == "0.8.0+site.10"


def test_rollback_follows_activation_history():
    state = ActiveModel().activated("a").activated("b").activated("b")
    assert state == ActiveModel("b", (BASE, "a"))
    assert state.rolled_back() == ActiveModel("a", (BASE,))
    assert state.rolled_back().rolled_back() == ActiveModel(BASE, ())
    with pytest.raises(OptionError, match="no other version was active before"):
        ActiveModel().rolled_back()


def test_new_version_is_inactive_until_activated(versions, tmp_path):
    assert versions.find_active_bundle() is None
    assert versions.names() == ["0.7.0+site.1", "0.7.0+site.2"]
    versions.activate("0.7.0+site.2")
    again = ModelVersions(tmp_path / "models")
    assert again.find_active_bundle() == tmp_path / "models" / "0.7.0+site.2"
    assert again.roll_back().version == BASE
    assert again.find_active_bundle() is None


def test_rejects_version_names_that_are_paths(versions, tmp_path):
    for name in ("0.9", "..", "../new-1", ACTIVE, ""):
        with pytest.raises(OptionError, match="There is no version"):
            versions.activate(name)
    with pytest.raises(OptionError, match="invalid characters"):
        versions.adopt(bundle(tmp_path / "odd"), "../odd")


def test_damaged_version_cannot_be_activated(versions, tmp_path):
    (tmp_path / "models" / "0.7.0+site.1" / "models" / "model.pt").write_bytes(b"other")
    with pytest.raises(BundleError, match="do not match the recorded hash"):
        versions.activate("0.7.0+site.1")
    assert versions.active() == ActiveModel()


def test_second_attempt_replaces_leftovers_of_first(versions, tmp_path):
    versions.adopt(bundle(tmp_path / "again", b"newer"), "0.7.0+site.1")
    assert (tmp_path / "models" / "0.7.0+site.1" / "models" / "model.pt").read_bytes() == b"newer"


def test_base_is_active_without_readable_record(versions, tmp_path):
    (tmp_path / "models" / ACTIVE).write_text("{", encoding="utf-8")
    assert versions.active() == ActiveModel()
    (tmp_path / "models" / ACTIVE).write_text('{"version": "gone", "earlier": []}', encoding="utf-8")
    assert versions.active() == ActiveModel()


def test_threads_that_activate_versions_lose_none_of_the_history(tmp_path):
    names = [f"0.7.0+site.{number}" for number in range(1, 9)]
    versions = ModelVersions(tmp_path / "models")
    for name in names:
        versions.adopt(bundle(tmp_path / f"new-{name}"), name)
    start = threading.Barrier(len(names))

    def activate(name):
        start.wait()
        versions.activate(name)

    with ThreadPoolExecutor(len(names)) as pool:
        list(pool.map(activate, names))
    state = versions.active()
    assert sorted([*state.earlier, state.version]) == sorted([BASE, *names])
