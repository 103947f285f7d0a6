"""``ragwheel grade``, ``import`` and ``export`` as a person types them."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import subprocess
import sys
import termios
from contextlib import closing

import pytest

from ragwheel.store import open_store
from ragwheel.testing import TraceStore

COMMAND = [sys.executable, "-c", "from ragwheel.cli import main; main()"]


@pytest.fixture
def db(tmp_path):
    with TraceStore(tmp_path / "app.db") as store:
        store.ask("how do I reset it?", ["reset", "length"], cited=[1], prompted=[1, 2])
        store.ask("what does it cost?", ["billing", "reset"], cited=[1], prompted=[1, 2])
        store.chunk("evil", "a text with \x1b[31mescapes\x07")
        store.ask("anything else?", ["evil"], answer=None)
    return tmp_path / "app.db"


def judged(db):
    with closing(open_store(db)) as connection:
        return connection.execute(
            "SELECT chunk_id, grade, judge FROM judgments ORDER BY judgment_id"
        ).fetchall()


def test_keys_grade_skip_undo_and_quit_and_the_next_sitting_goes_on(ragwheel, db):
    done = ragwheel("grade", "--db", db, "--judge", "ann", typed="5 x s 1 u u 3 q")
    assert done.returncode == 0, done.stderr
    first = judged(db)
    assert [row[1:] for row in first] == [(5.0, "ann"), (3.0, "ann")]
    assert "2 graded" in done.stdout
    assert "\x1b" not in done.stdout
    assert "abstained" not in done.stdout
    again = ragwheel("grade", "--db", db, "--judge", "ann", "--not-blind", typed="")
    assert again.returncode == 0
    assert "0 graded" in again.stdout
    assert judged(db) == first
    ragwheel("grade", "--db", db, "--judge", "ann", typed="000000")
    done = ragwheel("grade", "--db", db, "--judge", "ann", typed="")
    assert "ann has judged every chunk that was retrieved" in done.stdout
    assert ragwheel("grade", "--db", db, "--judge", "bob", typed="q").stdout.count("of 5") == 1


def test_in_a_terminal_one_key_is_enough_and_ctrl_c_keeps_what_was_graded(db):
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "grade", "--db", str(db), "--judge", "ann"], stdin=theirs, stdout=theirs, stderr=theirs,
        start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509
    )  # fmt: skip
    os.close(theirs)
    seen, keys = b"", [b"4", b"\x03"]
    prompts = 0
    while True:
        try:
            seen += os.read(ours, 4096)
        except OSError:  # the other end is closed
            break
        if seen.count(b"quit >") > prompts and keys:
            prompts += 1
            os.write(ours, keys.pop(0))
    os.close(ours)
    assert process.wait(30) == 130
    assert b"stopped by Ctrl-C" in seen
    assert [row[1:] for row in judged(db)] == [(4.0, "ann")]


def test_import_takes_judgments_and_evaluation_sets(ragwheel, db, tmp_path):
    grades = tmp_path / "grades.csv"
    grades.write_text("query,chunk_id,grade\nhow do I reset it?,reset,5\nhow do I reset it?,gone,5\n")
    done = ragwheel("import", grades, "--kind", "judgments", "--db", db, "--judge", "team")
    assert done.returncode == 0, done.stderr
    assert "unknown chunk" in done.stdout
    assert judged(db) == [("reset", 5.0, "team")]
    found = json.loads(ragwheel("import", grades, "--evalset", "--db", db, "--json").stdout)
    assert (found["format"], found["use"], found["judgments"]) == ("csv", "test", 1)
    shown = ragwheel("import", grades, "--evalset", "--db", db)
    assert "known by id" in shown.stdout
    assert (
        json.loads(ragwheel("import", grades, "--kind", "judgments", "--db", db, "--json").stdout)["new"] == 1
    )


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("import", "x.csv"), "There is no file x.csv"),
        (("import", "x.csv", "--evalset", "--kind", "judgments"), "contradict each other"),
        (("import", "x.csv", "--evalset"), "There is no x.csv"),
        (
            ("export", "dataset", "data", "--format", "b", "--out", "o"),
            "got --format b; expected one of",
        ),
        (("export", "dataset", "data", "--format", "beir", "--out", "o"), "is not a dataset folder"),
        (("grade", "--db", "none.db"), "none.db. Name yours with --db"),
    ],
)
def test_what_is_typed_wrongly_ends_with_one_line(ragwheel, args, message):
    done = ragwheel(*args)
    assert done.returncode == 1
    assert message in done.stderr
    assert done.stderr.count("\n") <= 2
    assert "Traceback" not in done.stderr


def test_export_writes_datasets_and_traces(ragwheel, db, tmp_path):
    built = ragwheel("build", "--db", db, "--out", tmp_path / "data", "--format", "trec")
    assert built.returncode == 0, built.stderr
    assert (tmp_path / "data" / "exports" / "trec" / "train.qrels").is_file()
    beir = ("export", "dataset", tmp_path / "data", "--format", "beir", "--out")
    done = ragwheel(*beir, tmp_path / "beir", "--db", db)
    assert "queries.jsonl" in done.stdout
    assert "the corpus holds every chunk" in done.stdout
    done = ragwheel(*beir, tmp_path / "labelled", "--labelled-only")
    assert "the graded chunks alone" in done.stdout
    done = ragwheel(*beir, tmp_path / "none", "--db", tmp_path / "none.db")
    assert done.returncode == 1
    assert "--labelled-only" in done.stderr
    found = ragwheel("export", "traces", "--format", "ubi", "--db", db, "--out", tmp_path / "ubi", "--json")
    assert json.loads(found.stdout)["ubi_queries.jsonl"] == 3
