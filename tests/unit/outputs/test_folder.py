"""Results appear together or not at all."""

import errno

import pytest

from brats_mm.errors import OutputError
from brats_mm.outputs.folder import OutputFolder, make_output_error


def names(folder):
    """Return the names of everything in a folder."""
    return sorted(path.name for path in folder.iterdir())


def write_and_fail(path):
    """Write one result, then raise."""
    with OutputFolder(path) as folder:
        folder.staged("one.txt").write_text("new")
        assert 1 / 0


def write_three(path):
    """Write three results."""
    with OutputFolder(path) as folder:
        for name in ("a.txt", "b.txt", "c.txt"):
            folder.staged(name).write_text("new")


def test_results_appear_only_at_the_end(tmp_path):
    with OutputFolder(tmp_path / "a" / "b") as folder:
        folder.staged("one.txt").write_text("1")
        folder.staged("maps/two.txt").write_text("2")
        assert not (tmp_path / "a" / "b" / "one.txt").exists()

    assert names(tmp_path / "a" / "b") == ["maps", "one.txt"]
    assert (tmp_path / "a" / "b" / "maps" / "two.txt").read_text() == "2"


def test_error_leaves_no_files(tmp_path):
    """Folders that were created are removed too."""
    with pytest.raises(ZeroDivisionError, match="division"):
        write_and_fail(tmp_path / "a" / "b")

    assert names(tmp_path) == []


def test_error_keeps_existing_files(tmp_path):
    """An earlier result of the same name, and other files."""
    (tmp_path / "one.txt").write_text("old")
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ZeroDivisionError, match="division"):
        write_and_fail(tmp_path)

    assert names(tmp_path) == ["mine.txt", "one.txt"]
    assert (tmp_path / "one.txt").read_text() == "old"


def test_existing_result_is_replaced(tmp_path):
    """Other files are unchanged."""
    (tmp_path / "one.txt").write_text("old")
    (tmp_path / "mine.txt").write_text("mine")
    with OutputFolder(tmp_path) as folder:
        folder.staged("one.txt").write_text("new")

    assert names(tmp_path) == ["mine.txt", "one.txt"]
    assert (tmp_path / "one.txt").read_text() == "new"


def test_failure_between_moves_is_rolled_back(tmp_path):
    """The second of three cannot be moved because a folder has its name."""
    (tmp_path / "a.txt").write_text("old")
    (tmp_path / "b.txt").mkdir()
    with pytest.raises(OutputError, match="a folder with this name exists"):
        write_three(tmp_path)

    assert names(tmp_path) == ["a.txt", "b.txt"]
    assert (tmp_path / "a.txt").read_text() == "old"


def test_output_folder_that_is_a_file_is_an_error(tmp_path):
    """The error has the path and the remedy."""
    (tmp_path / "out").write_text("")

    with (
        pytest.raises(OutputError, match=r"Cannot write to .*out: it is a file\. Choose a folder"),
        OutputFolder(tmp_path / "out"),
    ):
        pass


def test_output_folder_below_a_file_is_an_error(tmp_path):
    (tmp_path / "out").write_text("")

    with pytest.raises(OutputError, match="part of the path is a file"), OutputFolder(tmp_path / "out" / "b"):
        pass


def test_too_long_name_is_an_error(tmp_path):
    with pytest.raises(OutputError, match="the name is too long"), OutputFolder(tmp_path / ("x" * 300)):
        pass


@pytest.mark.parametrize(
    ("code", "why"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EACCES, "you have no permission to write there"),
        (errno.EROFS, "the disk is read-only"),
        (errno.EIO, "Input/output error"),
    ],
)
def test_os_errors_become_output_errors(tmp_path, code, why):
    with pytest.raises(OutputError, match=f"Cannot write to .*{why}"), OutputFolder(tmp_path / "a"):
        raise OSError(code, "Input/output error")

    assert names(tmp_path) == []


def test_os_error_without_errno_keeps_its_message(tmp_path):
    """Some libraries raise bare OSErrors."""
    assert "something odd" in str(make_output_error(tmp_path, OSError("something odd")))


def test_staging_outside_the_block_raises(tmp_path):
    with pytest.raises(RuntimeError, match="inside the `with` block"):
        OutputFolder(tmp_path).staged("a")
