"""The file of records: version, damage, and the end of a job."""

import sqlite3
from contextlib import closing

import pytest

from brats_mm.errors import OptionError
from brats_mm_service.database import MIGRATIONS, Database, check_records


def test_new_file_has_current_version_and_reopens(tmp_path):
    path = tmp_path / "records.sqlite3"
    Database(path).close()
    with closing(sqlite3.connect(path)) as records:
        assert records.execute("PRAGMA user_version").fetchone()[0] == len(MIGRATIONS)
    Database(path).close()
    assert check_records(path) is None


def test_unversioned_file_is_upgraded_and_keeps_rows(tmp_path):
    path = tmp_path / "records.sqlite3"
    with sqlite3.connect(path) as old:
        old.execute(
            "CREATE TABLE tokens (id TEXT PRIMARY KEY, caller TEXT NOT NULL, digest TEXT NOT NULL,"
            " scopes TEXT NOT NULL, created REAL NOT NULL, expires REAL, revoked REAL)"
        )
        old.execute("INSERT INTO tokens VALUES ('1', 'ann', 'd', 's', 0, NULL, NULL)")
    old.close()
    database = Database(path)
    assert database.connection().execute("SELECT caller FROM tokens").fetchone()["caller"] == "ann"
    assert database.connection().execute("SELECT COUNT(*) FROM jobs").fetchone()[0] == 0
    database.close()


def test_file_of_earlier_version_is_upgraded_step_by_step(tmp_path, monkeypatch):
    path = tmp_path / "records.sqlite3"
    Database(path).close()
    steps = ("ALTER TABLE tokens ADD COLUMN note TEXT NOT NULL DEFAULT 'none'", "UPDATE tokens SET note = 'upgraded'")
    monkeypatch.setattr("brats_mm_service.database.MIGRATIONS", (*MIGRATIONS, *steps))
    with sqlite3.connect(path) as old:
        old.execute("INSERT INTO tokens VALUES ('1', 'ann', 'd', 's', 0, NULL, NULL)")
    old.close()
    database = Database(path)
    assert database.connection().execute("SELECT note FROM tokens").fetchone()["note"] == "upgraded"
    assert database.connection().execute("PRAGMA user_version").fetchone()[0] == len(MIGRATIONS) + 2
    database.close()


def test_rejects_newer_file(tmp_path):
    path = tmp_path / "records.sqlite3"
    with sqlite3.connect(path) as newer:
        newer.execute("PRAGMA user_version = 999")
    newer.close()
    with pytest.raises(OptionError, match="have version 999, but this brats-mm supports versions up to"):
        Database(path)
    assert "have version 999" in check_records(path)


@pytest.mark.parametrize("damage", ["no database", "a page"])
def test_rejects_damaged_file(tmp_path, damage):
    path = tmp_path / "records.sqlite3"
    Database(path).close()
    content = bytearray(path.read_bytes())
    content[0 if damage == "no database" else 4096 : 5000] = b"x" * 900
    path.write_bytes(content)
    with pytest.raises(OptionError, match=r"are damaged\. Restore them from a backup"):
        Database(path)
    assert check_records(path).startswith(f"The records {path}")
