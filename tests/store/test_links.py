"""A database by other names: links to the file or a folder above it, and relative paths."""

import os
import subprocess
import sys

import pytest

import ragwheel
from ragwheel import offline
from ragwheel.collector.runtimes import RuntimeSource
from ragwheel.journal import files
from ragwheel.store import backup, erase, merge_journal, open_store
from ragwheel.store.artifacts import list_artifacts, register_artifact

RECORD_AND_DIE = (
    "import os, sys, ragwheel\n"
    "ragwheel.configure(sys.argv[1], merge_interval_s=50)\n"
    "search = ragwheel.retriever(lambda query: ['a'])\n"
    "with ragwheel.turn(sys.argv[2], user_id=sys.argv[2]): search(sys.argv[2])\n"
    "os._exit(9)"
)


@pytest.fixture
def names(tmp_path):
    """The database's own path, and others of it by what kind they are."""
    (tmp_path / "volume" / "data").mkdir(parents=True)
    (tmp_path / "app.db").symlink_to(tmp_path / "volume" / "data" / "app.db")
    (tmp_path / "folder").symlink_to(tmp_path / "volume")
    (tmp_path / "twice.db").symlink_to("app.db")
    return {
        "real": tmp_path / "volume" / "data" / "app.db",
        "link": tmp_path / "app.db",
        "linked folder": tmp_path / "folder" / "data" / "app.db",
        "link to a link": tmp_path / "twice.db",
        "relative": os.path.relpath(tmp_path / "app.db"),
    }


def recorded(db):
    connection = open_store(db)
    try:
        return sorted(query for (query,) in connection.execute("SELECT query FROM retrievals"))
    finally:
        connection.close()


def test_every_name_has_the_same_journal_and_is_read_by_every_other(names, tmp_path):
    for name, path in names.items():
        subprocess.run([sys.executable, "-c", RECORD_AND_DIE, path, name], check=False)
    assert list(tmp_path.rglob("*.segments")) == [files.segment_folder(names["real"])]
    for path in names.values():
        assert recorded(path) == sorted(names)
    assert list(tmp_path.rglob("*.db")) != []
    assert not any(path.is_symlink() for path in names["real"].parent.iterdir())


@pytest.mark.parametrize("name", ["link", "linked folder", "link to a link"])
def test_housekeeping_by_a_link_reaches_the_database(names, tmp_path, name):
    subprocess.run([sys.executable, "-c", RECORD_AND_DIE, names["real"], "ada"], check=False)
    subprocess.run([sys.executable, "-c", RECORD_AND_DIE, names["real"], "bob"], check=False)
    link = names[name]
    assert merge_journal(link).records == 4
    assert register_artifact(link, "model", tmp_path / "model")
    assert [each.path for each in list_artifacts(names["real"])] == [tmp_path / "model"]
    assert backup(link, tmp_path / "copy.db").retrievals == 2
    assert erase(link, user="ada").retrievals == 1
    assert recorded(names["real"]) == ["bob"]
    assert {finding.severity for finding in offline.doctor(link)} <= {"ok", "note", "warning"}
    assert link.is_symlink() == (name != "linked folder")


def test_a_collector_knows_the_apps_database_by_a_link(names):
    runtime = ragwheel.configure(names["link"])
    assert RuntimeSource(names["real"], None)() is runtime
    assert RuntimeSource(names["linked folder"], None)() is runtime
    assert runtime.settings.db == names["real"]


def test_a_damaged_database_behind_a_link_is_moved_aside_where_it_lies(names):
    ragwheel.configure(names["link"], merge_interval_s=60)
    search = ragwheel.retriever(lambda query: ["a"])
    search("before")
    assert ragwheel.flush()
    with names["real"].open("r+b") as file:
        file.seek(100)
        file.write(b"\xff" * 8000)
    search("after")
    assert ragwheel.flush()
    assert names["link"].is_symlink()
    assert recorded(names["real"]) == ["after", "before"]  # both were still in the journal
    assert list(names["real"].parent.glob("app.db.corrupt-*Z"))
