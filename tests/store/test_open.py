"""Offline readers on files that are not as they should be: what is wrong, what to type, nothing changed."""

import os
import shutil
import sqlite3
import tempfile
from pathlib import Path

import pytest

from ragwheel.errors import (
    StoreCorrupt,
    StoreEmpty,
    StoreError,
    StoreForeign,
    StoreLocked,
    StoreMissing,
    StoreTooNew,
)
from ragwheel.journal import files
from ragwheel.store import merge_journal, open_store
from ragwheel.store.connect import _check_ours
from ragwheel.store.schema import APPLICATION_ID


def tree(folder):
    """Every path below a folder with its content and mode."""
    return {
        str(path.relative_to(folder)): (path.stat().st_mode, path.read_bytes() if path.is_file() else None)
        for path in sorted(folder.rglob("*"))
    }


def foreign(db):
    connection = sqlite3.connect(db)
    connection.executescript("CREATE TABLE mine (x); INSERT INTO mine VALUES (1);")
    connection.close()


def foreign_wal(db):
    """Somebody else's database in WAL mode, whose log was not checkpointed."""
    elsewhere = db.with_name("elsewhere.db")
    connection = sqlite3.connect(elsewhere, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE mine (x)")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.execute("INSERT INTO mine VALUES (1)")
    shutil.copy(elsewhere, db)
    shutil.copy(f"{elsewhere}-wal", f"{db}-wal")
    connection.close()
    elsewhere.unlink()


def ours(db):
    merge_journal(db)
    (files.segment_folder(db) / "merge.lock").unlink()
    files.segment_folder(db).rmdir()


def newer(db):
    ours(db)
    connection = sqlite3.connect(db)
    connection.execute("PRAGMA user_version = 999")
    connection.execute("CREATE TABLE _from_the_future (x)")
    connection.close()


def corrupt(db):
    ours(db)
    content = db.read_bytes()
    db.write_bytes(content[:120] + b"\xff" * (len(content) - 120))


def other_application(db):
    connection = sqlite3.connect(db)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID + 1}")
    connection.execute("CREATE TABLE mine (x)")
    connection.close()


BAD = {
    "missing": (lambda db: None, StoreMissing, "ragwheel demo"),
    "a folder": (lambda db: db.mkdir(), StoreForeign, "--db FILE"),
    "empty file": (lambda db: db.touch(), StoreEmpty, "ragwheel demo"),
    "empty database": (
        lambda db: sqlite3.connect(db).execute("VACUUM").connection.close(),
        StoreEmpty,
        "ragwheel demo",
    ),
    "text": (lambda db: db.write_text("Dear diary, " * 50), StoreForeign, "Dear diary"),
    "foreign": (foreign, StoreForeign, "did not make"),
    "foreign in WAL mode": (foreign_wal, StoreForeign, "did not make"),
    "another application's": (other_application, StoreForeign, "did not make"),
    "newer": (newer, StoreTooNew, "pip install -U ragwheel"),
    "corrupt": (corrupt, StoreCorrupt, "recover"),
    "only the header": (
        lambda db: db.write_bytes(b"SQLite format 3\x00"),
        StoreError,
        r"Next|Restore|[Ee]xpected",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_files(db, kind):
    make, error, says = BAD[kind]
    make(db)
    before = tree(db.parent)
    for _ in range(2):
        with pytest.raises(error, match=says) as caught:
            open_store(db)
        assert str(db) in str(caught.value)
    assert tree(db.parent) == before


def test_no_traces_is_an_error_only_where_asked(db):
    ours(db)
    open_store(db).close()
    with pytest.raises(StoreEmpty, match=r"@ragwheel\.retriever"):
        open_store(db, require_traces=True)


def test_a_locked_database(db):
    ours(db)
    other = sqlite3.connect(db, isolation_level=None)
    other.execute("PRAGMA locking_mode = EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    other.execute("PRAGMA user_version = 1")
    try:
        with pytest.raises(StoreLocked, match=f"fuser {db}"):
            open_store(db, timeout_s=0.05)
    finally:
        other.close()


def test_what_the_journal_has_is_read_even_when_there_is_no_database_yet(write, db):
    write.retrieval({"a": "x"})
    connection = open_store(db, require_traces=True)
    assert connection.execute("SELECT count(*) FROM retrievals").fetchone() == (1,)
    connection.close()


def test_a_reader_cannot_write(write, db):
    write.retrieval({"a": "x"})
    connection = open_store(db)
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        connection.execute("DELETE FROM _retrieval")
    connection.close()


def as_nobody(work):
    """Run ``work`` in a child without root's powers; what it returned, as text."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setresgid(65534, 65534, 65534)
                os.setresuid(65534, 65534, 65534)
            said = work()
        except BaseException as exc:
            said = f"{type(exc).__name__}: {exc}"
        os.write(writer, str(said).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        said = pipe.read()
    os.waitpid(pid, 0)
    return said


@pytest.fixture
def shared_db():
    """A database in a folder that other users can reach, unlike those of pytest."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder) / "app.db"


def test_a_database_of_somebody_else(shared_db):
    ours(shared_db)
    said = as_nobody(lambda: open_store(shared_db))
    assert said.startswith("StoreLocked")
    assert "ls -l" in said


def test_a_read_only_folder_is_read_and_left_as_it_is(shared_db):
    db = shared_db
    ours(db)
    db.chmod(0o644)
    db.parent.chmod(0o555)
    before = tree(db.parent)
    assert as_nobody(lambda: open_store(db).execute("SELECT count(*) FROM retrievals").fetchone()) == "(0,)"
    assert tree(db.parent) == before


def test_a_journal_that_cannot_be_merged_is_said(shared_db):
    db = shared_db
    merge_journal(db)
    files.release_segment(files.create_segment(db)[1])
    db.chmod(0o644)
    files.segment_folder(db).chmod(0o555)
    said = as_nobody(lambda: open_store(db))
    assert said.startswith("StoreLocked")
    assert "may not be" in said


def test_a_first_page_that_stands_in_the_log_alone(write, db, tmp_path):
    """A power cut may leave zeros where the log has the page: SQLite knows, and nobody is turned away."""
    write.retrieval({"a": "x"})
    open_store(db).close()
    cut = tmp_path / "cut.db"
    connection = sqlite3.connect(db, isolation_level=None)
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID + 1}")
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")  # both write the first page
    shutil.copy(f"{db}-wal", f"{cut}-wal")
    cut.write_bytes(bytes(512) + db.read_bytes()[512:])
    connection.close()
    read = open_store(cut)
    assert read.execute("SELECT count(*) FROM retrievals").fetchone()[0] > 0
    read.close()


@pytest.mark.parametrize("at", [1, 2])
def test_tables_that_another_process_makes_while_the_file_is_opened(write, db, at):
    """The header and the tables are read as of one moment: half of a migration is nobody else's database."""
    write.retrieval({"a": "x"})
    sqlite3.connect(db).execute("PRAGMA journal_mode = WAL").connection.close()  # made, nothing in it yet
    reader = sqlite3.connect(f"{db.as_uri()}?mode=ro", uri=True, isolation_level=None)
    statements, merged = [], []

    def merge_before_one(statement):
        statements.append(statement)
        if len(statements) == at + 1:
            merged.append(merge_journal(db))

    reader.set_trace_callback(merge_before_one)
    _check_ours(reader, db)
    reader.close()
    assert merged
    open_store(db).close()
