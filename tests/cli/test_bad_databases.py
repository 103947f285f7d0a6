"""Every offline command on every kind of bad database: says what and what next, and changes nothing."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from ragwheel.cli import app
from ragwheel.testing.traces import TraceSpec, write_traces

COMMANDS = {
    "status": ["status"],
    "doctor": ["doctor"],
    "show": ["show"],
    "list": ["show", "--list"],
    "build": ["build", "--out", "made"],
}


def missing(path, traces):
    return ["ragwheel demo", "--db"]


def empty_file(path, traces):
    path.touch()
    return ["empty", "ragwheel demo"]


def foreign_database(path, traces):
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE users (name TEXT)")
    connection.close()
    return ["ragwheel did not make", "--db"]


def text_file(path, traces):
    path.write_text("dear diary, today I made a very short text file that is no database at all\n" * 20)
    return ["not a SQLite database", "--db"]


def folder(path, traces):
    path.mkdir()
    return ["is a folder", "--db"]


def newer_schema(path, traces):
    shutil.copy(traces, path)
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 999")
    connection.close()
    return ["999", "pip install -U ragwheel"]


def corrupt(path, traces):
    content = traces.read_bytes()
    path.write_bytes(content[:100] + b"\xff" * (len(content) - 100))
    return ["damaged", "Restore a backup"]


BAD = [missing, empty_file, foreign_database, text_file, folder, newer_schema, corrupt]


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS.keys())
@pytest.mark.parametrize("spoil", BAD, ids=lambda spoil: spoil.__name__)
def test_says_what_and_what_next_and_changes_nothing(traces, tmp_path, monkeypatch, spoil, command):
    path = tmp_path / "bad.db"
    says = spoil(path, traces)
    before = contents(tmp_path)
    monkeypatch.chdir(tmp_path)
    ended = CliRunner().invoke(app, [*command, "--db", str(path)])
    assert ended.exit_code == 1
    assert ended.stdout == ""
    assert ended.stderr.startswith("ragwheel: ")
    assert ended.stderr.count("\n") == 1, "one message, no traceback"
    for words in [*says, str(path)]:
        assert words in ended.stderr
    assert contents(tmp_path) == before


@pytest.mark.parametrize("command", ["show", "list", "build"])
def test_no_traces_yet(tmp_path, command):
    path = tmp_path / "app.db"
    write_traces(path, TraceSpec(turns=0))
    ended = CliRunner().invoke(app, [*COMMANDS[command], "--db", str(path)])
    assert ended.exit_code == 1
    assert "holds no retrieval yet" in ended.stderr
    assert "ragwheel demo" in ended.stderr


def test_in_a_process_of_its_own(ragwheel, traces, tmp_path):
    """What the console script adds: the same message, and no traceback at the exit."""
    path = tmp_path / "bad.db"
    corrupt(path, traces)
    for command in (["status"], ["build", "--out", "made"]):
        ended = ragwheel(*command, "--db", path)
        assert ended.returncode == 1
        assert ended.stderr.startswith("ragwheel: ")
        assert ended.stderr.count("\n") == 1


HOLD = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA journal_mode = DELETE")
connection.execute("PRAGMA locking_mode = EXCLUSIVE")
connection.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS.keys())
def test_locked_by_another_process(traces, tmp_path, command):
    path = tmp_path / "locked.db"
    shutil.copy(traces, path)
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with holder:
        assert holder.stdout.readline() == "held\n"
        before = path.read_bytes()
        ended = CliRunner().invoke(app, [*command, "--db", str(path)])
        assert path.read_bytes() == before
        holder.stdin.close()
    assert ended.exit_code == 1
    assert ended.stderr.startswith(f"ragwheel: {path} is locked by another process")
    assert "fuser" in ended.stderr
    assert ended.stderr.count("\n") == 1


def contents(folder):
    """Every file below a folder with its bytes; SQLite's index and empty log of a WAL are not ours."""
    return {
        path.relative_to(folder): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
        if not path.name.endswith("-shm") and not (path.name.endswith("-wal") and not path.stat().st_size)
    }
