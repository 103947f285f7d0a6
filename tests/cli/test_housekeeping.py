"""``ragwheel erase``, ``prune`` and ``backup``: what they print, ask and refuse."""

from __future__ import annotations

import json
import os
import pty
import shutil
import subprocess
import sys
import time
from contextlib import closing

import pytest
import typer
from typer.testing import CliRunner

from ragwheel.cli import amounts, app
from ragwheel.store import open_store
from ragwheel.testing import TraceStore

COMMAND = [sys.executable, "-c", "from ragwheel.cli import main; main()"]


def invoke(*args: object):
    return CliRunner().invoke(app, [str(arg) for arg in args])


@pytest.fixture
def db(tmp_path):
    path = tmp_path / "app.db"
    with TraceStore(path) as store:
        for n in range(10):
            store.ask(f"question {n} of somebody", [f"c{n}", "common"], cited=[1], user_id=f"user-{n % 2}")
    path.chmod(0o600)
    return path


def count(db):
    with closing(open_store(db)) as connection:
        return connection.execute("SELECT count(*) FROM turns").fetchone()[0]


def test_erase_says_what_went_and_that_it_is_gone(db):
    ended = invoke("erase", "--db", db, "--user", "user-0", "--yes")
    assert ended.exit_code == 0, ended.output
    assert "5 retrievals, 5 turns, 5 chunks, 5 texts" in ended.output
    assert "looked for in the bytes of all files: none" in " ".join(ended.output.split())
    assert count(db) == 5


def test_erase_without_a_terminal_and_without_yes_changes_nothing(db):
    before = db.read_bytes()
    ended = invoke("erase", "--db", db, "--user", "user-0")
    assert ended.exit_code == 1
    assert "no terminal to ask for consent" in ended.stderr
    assert "--dry-run" in ended.stderr
    assert "5 turns" in ended.stderr  # what it would have been
    assert db.read_bytes() == before


def test_erase_dry_run(db):
    before = db.read_bytes()
    ended = invoke("erase", "--db", db, "--query-matching", "question [0-3]", "--dry-run", "--json")
    assert ended.exit_code == 0
    found = json.loads(ended.stdout)
    assert (found["dry_run"], found["store"]["turns"]) == (True, 4)
    assert db.read_bytes() == before
    assert "would go" in invoke("erase", "--db", db, "--session", "s", "--dry-run").stdout


@pytest.mark.parametrize(("typed", "left", "code"), [(b"y\n", 5, 0), (b"n\n", 10, 1), (b"\n", 10, 1)])
def test_erase_asks_on_a_terminal(db, typed, left, code):
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [*COMMAND, "erase", "--db", str(db), "--user", "user-0"],
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        os.write(ours, typed)
        printed = process.stdout.read().decode()
    os.close(ours)
    os.close(theirs)
    assert "Erase this for good? [y/N]" in printed
    assert process.returncode == code
    assert count(db) == left


def test_erase_names_files_that_still_have_it_and_exits_with_1(db):
    shutil.copy(db, db.with_name("app.db.corrupt-20260101T000000Z"))
    ended = invoke("erase", "--db", db, "--user", "user-0", "--yes")
    assert ended.exit_code == 1
    assert "still in" in ended.output


@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        (["erase"], 1, "Nothing to erase by"),
        (["erase", "--query-matching", "("], 1, "no regular expression"),
        (["erase", "--older-than", "soon"], 2, "90d"),
        (["erase", "--older-than", "2026-13-01"], 2, "2026-13-01"),
        (["erase", "--user", "x", "--dataset", "."], 1, "not a dataset folder"),
        (["prune", "--yes"], 1, "Nothing to prune by"),
        (["prune", "--max-size", "big"], 2, "2GB"),
        (["backup"], 2, "FILE"),
    ],
)
def test_typed_wrongly(db, args, code, says):
    before = db.read_bytes()
    ended = invoke(*args, "--db", db)
    assert ended.exit_code == code, ended.output
    assert says in " ".join(ended.stderr.replace("│", " ").split())
    assert db.read_bytes() == before


def test_prune_by_age(db):
    ended = invoke("prune", "--db", db, "--older-than", "30d")
    assert ended.exit_code == 1
    assert "no terminal" in ended.stderr
    assert count(db) == 10
    dry = json.loads(invoke("prune", "--db", db, "--older-than", "30d", "--dry-run", "--json").stdout)
    assert dry["turns"] == 10
    assert count(db) == 10
    assert "10 retrievals, 10 turns" in invoke("prune", "--db", db, "--older-than", "30d", "--yes").stdout
    assert count(db) == 0


def test_prune_by_size(tmp_path):
    path = tmp_path / "big.db"
    with TraceStore(path) as store:
        for n in range(150):
            store.chunk(f"c{n}", f"text {n} " * 300)
            store.ask(f"question {n}", [f"c{n}"])
    size = path.stat().st_size // 2
    dry = json.loads(invoke("prune", "--db", path, "--max-size", f"{size}B", "--dry-run", "--json").stdout)
    assert 40 < dry["turns"] < 120
    assert count(path) == 150
    assert invoke("prune", "--db", path, "--max-size", f"{size}", "--yes").exit_code == 0
    assert path.stat().st_size <= size
    assert abs(150 - count(path) - dry["turns"]) < 30


def test_backup(db, tmp_path):
    to = tmp_path / "copy.db"
    ended = invoke("backup", to, "--db", db)
    assert ended.exit_code == 0
    assert "10 retrievals" in ended.stdout
    assert to.stat().st_mode & 0o777 == 0o600
    assert count(to) == 10
    again = invoke("backup", to, "--db", db, "--json")
    assert again.exit_code == 1
    assert "overwrites nothing" in again.stderr
    assert json.loads(invoke("backup", tmp_path / "b.db", "--db", db, "--json").stdout)["retrievals"] == 10
    assert sorted(path.name for path in tmp_path.iterdir() if "partial" in path.name) == []


@pytest.mark.parametrize(("typed", "expected"), [("90d", 90), ("12h", 0.5), ("2W", 14), ("1.5 d", 1.5)])
def test_ages(typed, expected):
    assert amounts.days(typed) == expected
    assert amounts.moment_before(typed).timestamp() == pytest.approx(time.time() - expected * 86400, abs=60)


def test_dates():
    assert amounts.moment_before("2026-01-31").astimezone().strftime("%Y-%m-%d %H:%M") == "2026-01-31 00:00"


@pytest.mark.parametrize(
    ("typed", "expected"),
    [("2GB", 2 * 10**9), ("2GiB", 2 * 2**30), ("500 mb", 500 * 10**6), ("1024", 1024), ("1.5kB", 1500)],
)
def test_sizes(typed, expected):
    assert amounts.n_bytes(typed) == expected


@pytest.mark.parametrize("typed", ["", "d", "-3d", "3 years", "999999999d", "1e9d"])
def test_no_age(typed):
    with pytest.raises(typer.BadParameter, match="expected hours"):
        amounts.moment_before(typed)


@pytest.mark.parametrize("typed", ["", "GB", "-1GB", "2 i", "1PB"])
def test_no_size(typed):
    with pytest.raises(typer.BadParameter, match="expected a size"):
        amounts.n_bytes(typed)


@pytest.mark.parametrize(
    "command", [("backup",), ("export", "traces", "--format", "ubi", "--out")], ids=["backup", "export"]
)
@pytest.mark.parametrize("place", ["n" * 300, "file/below"])
def test_a_file_that_cannot_be_made_is_one_sentence(db, tmp_path, command, place):
    (tmp_path / "file").touch()
    done = invoke(*command, tmp_path / place, "--db", db)
    assert done.exit_code == 1
    assert isinstance(done.exception, SystemExit)
    assert done.stderr.startswith("ragwheel: ")
