"""The process that merges: it ends with the app, may be killed, and is no part of what the app sees."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

import ragwheel
from ragwheel import runtime
from ragwheel.errors import ConfigurationError
from ragwheel.guard import guard
from ragwheel.journal import files
from ragwheel.store import background

WAIT_S = 60.0
APP = """
import os, sys
import ragwheel
from ragwheel import runtime

ragwheel.configure(sys.argv[1], merge_in="process", merge_interval_s=0.01)

@ragwheel.retriever
def search(query):
    return ["a passage", "another passage"]

while not (process := runtime.current()._merger._process) or not process.answered:
    search("anything")
    ragwheel.flush(1)
if sys.argv[2] == "fork":
    child = os.fork()
    if child == 0:
        os.read(0, 1)
        os._exit(0)
print(process._pid, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def db(tmp_path):
    yield tmp_path / "app.db"
    ragwheel.shutdown()
    guard.reset()


@ragwheel.retriever
def search(query):
    return ["a passage", "another passage"]


def merger():
    return runtime.current()._merger


def until(condition):
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def started():
    """The process, once it has answered."""

    def answered():
        search("until it is there")
        ragwheel.flush(1)
        return merger()._process is not None and merger()._process.answered

    until(answered)
    return merger()._process


def ended(pid):
    """Whether a process has ended; a zombie has, whoever is to reap it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def stored():
    assert ragwheel.flush(WAIT_S)
    stats = ragwheel.stats()
    assert stats.unaccounted == 0
    return stats.stored


def test_what_was_recorded_is_merged_by_the_process_alone(db, monkeypatch):
    ragwheel.configure(db, merge_in="process", merge_interval_s=0.01)
    started()
    merger()._merger = None
    before = ragwheel.stats().emitted
    for n in range(50):
        search(f"question {n}")
    assert stored() == before + 50
    assert merger()._merger is None  # the thread had no need of its own


def test_it_is_no_child_of_the_app(db):
    ragwheel.configure(db, merge_in="process", merge_interval_s=0.01)
    stat = Path(f"/proc/{started()._pid}/stat").read_text()
    parent = int(stat.rpartition(")")[2].split()[1])
    assert parent != os.getpid()


def test_it_ends_with_a_shutdown_without_delay(db):
    ragwheel.configure(db, merge_in="process", merge_interval_s=0.01)
    pid = started()._pid
    ragwheel.shutdown()
    until(lambda: ended(pid))


@pytest.mark.parametrize("how", ["kill", "fork"])
def test_it_ends_when_the_app_is_killed_and_nothing_is_lost(db, how):
    """Also when a forked child of the app lives on, which must not hold the socket open."""
    app = subprocess.Popen(
        [sys.executable, "-c", APP, str(db), how], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    pid = int(app.stdout.readline())
    app.kill()
    until(lambda: ended(pid))
    app.stdin.close()
    app.stdout.close()
    app.wait()
    ragwheel.configure(db)
    search("of the next app")
    assert stored() == 1
    assert len(files.segments(db)) == 1


def test_killed_it_is_replaced_by_the_thread_and_then_by_another(db, monkeypatch):
    monkeypatch.setattr(background, "RESTART_S", 0.0)
    ragwheel.configure(db, merge_in="process", merge_interval_s=0.01)
    for _ in range(3):
        process = started()
        pid = process._pid
        os.kill(pid, signal.SIGKILL)
        until(lambda: ended(pid))  # noqa: B023 - called at once
        search("recorded meanwhile")
        assert ragwheel.flush(WAIT_S)
        assert merger()._process is not process
    assert stored() == ragwheel.stats().emitted


@pytest.mark.parametrize("executable", ["/usr/sbin/uwsgi", "/nowhere/python3", "", None])
def test_where_none_can_be_started_the_thread_merges(db, executable, monkeypatch, caplog):
    monkeypatch.setattr(sys, "executable", executable)
    ragwheel.configure(db, merge_in="process", merge_interval_s=0.01)
    search("anything")
    assert stored() == 1
    assert merger()._process is None
    assert "merges in a thread" in caplog.text


def test_an_interpreter_without_ragwheel_is_not_tried_again(db, tmp_path, monkeypatch, caplog):
    python = tmp_path / "python3"
    python.write_text("#!/bin/sh\nexit 1\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    ragwheel.configure(db, merge_in="process", merge_interval_s=0.01)
    search("anything")
    until(lambda: ragwheel.flush(1) and merger().merge_in == "thread")
    assert stored() == 1
    assert "merges in a thread" in caplog.text


def test_auto_starts_it_with_the_first_backlog(db, monkeypatch):
    monkeypatch.setattr(background, "BACKLOG_RECORDS", 20)
    ragwheel.configure(db, merge_in="auto", merge_interval_s=0.01)
    search("a single one")
    assert stored() == 1
    assert merger()._process is None

    def backlog():
        for n in range(100):
            search(f"question {n}")
        return merger()._process is not None and merger()._process.answered

    until(backlog)
    assert stored() == ragwheel.stats().emitted


def test_while_the_database_is_locked_the_journal_keeps_what_the_process_cannot_store(db):
    ragwheel.configure(db, merge_in="process", merge_interval_s=0.01)
    started()
    with closing(sqlite3.connect(db, timeout=30, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        search("kept in the journal")
        assert not ragwheel.flush(1)
        other.execute("ROLLBACK")
    until(lambda: ragwheel.flush(1))
    assert stored() == ragwheel.stats().emitted


def test_a_forked_child_starts_its_own(db):
    ragwheel.configure(db, merge_in="process", merge_interval_s=0.01)
    pid = started()._pid
    child = os.fork()
    if child == 0:
        own = started()._pid
        ragwheel.shutdown()
        os._exit(0 if own != pid else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert not ended(pid)
    search("of the parent")
    assert ragwheel.flush(WAIT_S)


def test_another_word_is_refused_with_what_is_allowed():
    with pytest.raises(ConfigurationError, match=r"'thread'.*'process'"):
        ragwheel.configure("app.db", merge_in="greenlet")
