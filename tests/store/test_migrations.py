"""The machinery of migrations, with a further step of the test's own."""

import os
import signal
import sqlite3
import sys

import pytest

from ragwheel.errors import StoreTooNew
from ragwheel.store import connect, merge_journal, migrations, open_store, schema
from ragwheel.store.numbers import chunk_number
from ragwheel.store.rows import text_hash

CONNECT = sys.modules["ragwheel.store.connect"]  # the package has a function of that name
NEXT = migrations.SCHEMA_VERSION + 1


@pytest.fixture
def further_step(monkeypatch):
    """The next schema: one more column, in three statements; ``killed_at`` dies before that statement."""

    class Step:
        killed_at: int | None = None

        def __call__(self, connection):
            for n, statement in enumerate(
                (
                    "ALTER TABLE _turn ADD COLUMN model TEXT",
                    "UPDATE _turn SET model = 'unknown'",
                    "CREATE TABLE _model (name TEXT)",
                )
            ):
                if n == self.killed_at:
                    signal.raise_signal(signal.SIGKILL)
                connection.execute(statement)

    step = Step()
    views = schema.VIEWS.replace(
        "CREATE VIEW turns AS\n    SELECT", "CREATE VIEW turns AS\n    SELECT model,"
    )
    monkeypatch.setattr(migrations, "STEPS", (*migrations.STEPS, step))
    monkeypatch.setattr(migrations, "VIEWS", views)
    for module in (migrations, CONNECT):
        monkeypatch.setattr(module, "SCHEMA_VERSION", NEXT)
    return step


def old(write, db):
    write.turn("an answer")
    merge_journal(db)


def test_a_new_database_has_the_newest_schema(write, db, rows):
    merge_journal(db)
    assert rows("PRAGMA user_version") == [(migrations.SCHEMA_VERSION,)]
    assert rows("PRAGMA application_id") == [(schema.APPLICATION_ID,)]
    assert rows("PRAGMA journal_mode") == [("wal",)]


def test_an_older_database_is_brought_up_to_date_by_its_first_reader(write, db, rows, request):
    old(write, db)
    request.getfixturevalue("further_step")
    connection = open_store(db)
    assert connection.execute("SELECT model, answer FROM turns").fetchall() == [("unknown", "an answer")]
    connection.close()
    assert rows("PRAGMA user_version") == [(NEXT,)]
    assert rows("PRAGMA integrity_check") == [("ok",)]


@pytest.mark.parametrize("killed_at", [0, 1, 2])
def test_killed_in_the_middle_it_is_as_it_was(write, db, rows, request, killed_at):
    old(write, db)
    step = request.getfixturevalue("further_step")
    pid = os.fork()
    if pid == 0:
        step.killed_at = killed_at
        merge_journal(db)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 9
    assert rows("PRAGMA user_version") == [(NEXT - 1,)]
    assert rows("SELECT answer FROM turns") == [("an answer",)]
    assert "model" not in str(rows("SELECT sql FROM sqlite_master WHERE name = '_turn'"))
    merge_journal(db)
    assert rows("SELECT model, answer FROM turns") == [("unknown", "an answer")]


def test_the_older_ragwheel_refuses_it_then(write, db, request):
    old(write, db)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(migrations, "STEPS", (*migrations.STEPS, lambda connection: None))
        patch.setattr(migrations, "SCHEMA_VERSION", NEXT)
        patch.setattr(CONNECT, "SCHEMA_VERSION", NEXT)
        merge_journal(db)
    before = db.read_bytes()
    with pytest.raises(StoreTooNew):
        open_store(db)
    assert db.read_bytes() == before


def test_a_step_that_fails_leaves_the_database_as_it_was(write, db, rows, monkeypatch):
    old(write, db)

    def fails(connection):
        connection.execute("DROP TABLE _turn")
        connection.execute("no such statement")

    monkeypatch.setattr(migrations, "STEPS", (*migrations.STEPS, fails))
    monkeypatch.setattr(migrations, "SCHEMA_VERSION", NEXT)
    connection = connect(db, write=True)
    with pytest.raises(sqlite3.OperationalError):
        migrations.migrate(connection)
    assert not connection.in_transaction
    connection.close()
    assert rows("SELECT answer FROM turns") == [("an answer",)]


def test_chunks_of_an_older_database_get_their_numbers(tmp_path, monkeypatch):
    with monkeypatch.context() as earlier:
        earlier.setattr(migrations, "STEPS", migrations.STEPS[:8])
        earlier.setattr(migrations, "SCHEMA_VERSION", 8)
        earlier.setattr(migrations, "VIEWS", "")
        connection = connect(tmp_path / "old.db", write=True)
        migrations.migrate(connection)
    digest = text_hash("a text")
    connection.execute("INSERT INTO _source VALUES (3, 'kb')")
    connection.execute("INSERT INTO _text VALUES (5, ?, 'a text')", (digest,))
    connection.execute("INSERT INTO _chunk VALUES (7, 3, 'c1', 5, NULL, 1)")
    migrations.migrate(connection)
    numbers = connection.execute("SELECT chunk_version FROM chunks").fetchall()
    connection.close()
    assert numbers == [(chunk_number("kb", "c1", digest),)]
