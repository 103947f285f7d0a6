"""Files that appear whole or not at all, transactions and checksums are written once."""

from __future__ import annotations

import os
import re
import sqlite3
import stat
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import pytest

from ragwheel.files import replace_folder, replacing, sha256_of, write_atomically
from ragwheel.store.transactions import transaction

SOURCES = Path(__file__).parents[2] / "src" / "ragwheel"


@pytest.mark.parametrize(
    ("pattern", "allowed"),
    [
        (r"BEGIN IMMEDIATE", {"store/transactions.py", "testing/traces.py"}),
        (r"tempfile\.mkstemp|NamedTemporaryFile", set()),
        (r"\bmerge_lock\(", {"journal/files.py", "store/exclusive.py", "store/merge.py"}),
    ],
)
def test_no_other_module_does_it_by_hand(pattern, allowed):
    using = {
        path.relative_to(SOURCES).as_posix()
        for path in SOURCES.rglob("*.py")
        if re.search(pattern, path.read_text(encoding="utf-8"))
    }
    assert using <= allowed


def test_a_file_that_is_not_finished_leaves_the_old_one_and_nothing_else(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), replacing(path) as fresh:  # noqa: PT012
        fresh.write_text("half")
        raise KeyboardInterrupt
    assert [(entry.name, entry.read_text()) for entry in tmp_path.iterdir()] == [("a.json", "old")]
    write_atomically(path, "naïve")
    assert path.read_bytes() == "naïve".encode()
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.json"]


def test_a_private_file_is_for_its_owner_and_others_follow_the_umask(tmp_path):
    before = os.umask(0o022)
    try:
        for private, mode in ((True, 0o600), (False, 0o644)):
            write_atomically(tmp_path / "a", b"x", private=private, durable=True)
            assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == mode
    finally:
        os.umask(before)


def test_a_folder_takes_the_place_of_another_whole_or_not_at_all(tmp_path):
    out = tmp_path / "data"
    with replace_folder(out) as fresh:
        (fresh / "a").write_text("1")
    with pytest.raises(ZeroDivisionError), replace_folder(out) as fresh:  # noqa: PT012
        (fresh / "b").write_text("2")
        1 / 0  # noqa: B018
    with replace_folder(out) as fresh:
        (fresh / "c").write_text("3")
    assert [path.relative_to(tmp_path).as_posix() for path in sorted(tmp_path.rglob("*"))] == [
        "data",
        "data/c",
    ]
    assert stat.S_IMODE((out / "c").stat().st_mode) == 0o600


def test_a_checksum_is_over_the_contents_in_order(tmp_path):
    (tmp_path / "a").write_bytes(b"one")
    (tmp_path / "b").write_bytes(b"two")
    assert sha256_of(tmp_path / "a", tmp_path / "b") == sha256(b"onetwo").hexdigest()


def test_a_transaction_is_rolled_back_when_its_block_fails_or_is_a_dry_run():
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.execute("CREATE TABLE t (x)")
        with pytest.raises(ZeroDivisionError), transaction(connection):  # noqa: PT012
            connection.execute("INSERT INTO t VALUES (1)")
            1 / 0  # noqa: B018
        with transaction(connection, commit=False):
            connection.execute("INSERT INTO t VALUES (2)")
        with transaction(connection):
            connection.execute("INSERT INTO t VALUES (3)")
        assert connection.execute("SELECT x FROM t").fetchall() == [(3,)]
        assert not connection.in_transaction
