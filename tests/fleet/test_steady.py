"""A lake is read as it was when reading began, however often its servers export meanwhile."""

from __future__ import annotations

import errno
import json
import os
import time

import pytest
from tests.fleet.servers import DAY_NS, NOW_NS, contents, traffic

import ragwheel.labels.traces.steady as steady_module
from ragwheel.datasets import build
from ragwheel.errors import DatasetError
from ragwheel.exporting import export_parquet
from ragwheel.labels.traces.lake import located, open_lake
from ragwheel.labels.traces.read_parquet import ParquetRows, read_parquet
from ragwheel.labels.traces.steady import steady


def today_ns():
    return time.time_ns() - 60 * 10**9


def test_what_is_exported_while_a_lake_is_built_from_changes_nothing(server, tmp_path):
    one = server("one", start_ns=today_ns())
    traffic(one)
    lake = tmp_path / "lake"
    export_parquet(one.path, lake)
    expected = contents(build(lake, tmp_path / "a" / "set").out)
    removed = []

    def export_again(*_progress):
        one.ask("a new question", ["c1", "c2"], cited=[1])
        removed.append(export_parquet(one.path, lake).removed)

    built = build(lake, tmp_path / "b" / "set", progress=export_again)
    assert sum(removed) > 3
    assert contents(built.out) == expected


def test_old_days_that_are_replaced_in_the_middle_are_an_error_that_says_so(server, tmp_path):
    one = server("one")
    traffic(one)
    lake = tmp_path / "lake"
    export_parquet(one.path, lake)
    before = contents(build(lake, tmp_path / "set").out)

    def export_again(*_progress):
        one.ask("a new question", ["c1", "c2"], cited=[1])
        export_parquet(one.path, lake)

    with pytest.raises(DatasetError, match=r"replaced while they were read.*run the same command again"):
        build(lake, tmp_path / "set", progress=export_again)
    assert contents(tmp_path / "set") == before


def test_an_error_that_no_export_caused_stays_as_it_is(server, tmp_path):
    one = server("one")
    traffic(one)
    export_parquet(one.path, tmp_path / "lake")
    part = next((tmp_path / "lake" / "turn").rglob("*.parquet"))

    def remove(*_progress):
        part.unlink(missing_ok=True)

    with pytest.raises(DatasetError, match="missing or damaged"):
        build(tmp_path / "lake", tmp_path / "set", progress=remove)


def test_only_the_latest_days_are_copied_and_the_copies_are_removed(server, tmp_path):
    old, new = server("old", start_ns=NOW_NS), server("new", start_ns=today_ns())
    traffic(old)
    traffic(new)
    lake = tmp_path / "lake"
    export_parquet(old.path, lake)
    store = export_parquet(new.path, lake).store
    with steady(open_lake(*located(lake))) as opened:
        copies = list(opened.copies.values())
        assert all(f"store={store}/" in path for path in opened.copies)
        assert {path.partition("/")[0] for path in opened.copies} == {"chunk", "retrieval", "turn"}
        for path in opened.copies:
            (lake / path).unlink()
        tables, _ = read_parquet(opened)
        assert isinstance(tables.retrieval, ParquetRows)
        assert tables.retrieval.dataset().count_rows() == tables.retrieval.num_rows == 48
    assert not any(path.exists() for path in copies)


def test_files_replaced_while_they_are_copied_are_copied_from_the_later_export(server, tmp_path, monkeypatch):
    one = server("one", start_ns=today_ns())
    traffic(one)
    lake = tmp_path / "lake"
    export_parquet(one.path, lake)
    opened, exports = open_lake(*located(lake)), []
    copy = steady_module._copy

    def export_first(*arguments):
        if not exports:
            one.ask("a new question", ["c1", "c2"], cited=[1])
            exports.append(export_parquet(one.path, lake))
        copy(*arguments)

    monkeypatch.setattr(steady_module, "_copy", export_first)
    with steady(opened) as copied:
        assert read_parquet(copied)[0].turn.num_rows == 25
    assert exports[0].removed


def test_days_ahead_of_this_clock_are_copied_too(server, tmp_path):
    ahead = server("ahead", start_ns=time.time_ns() + DAY_NS)
    traffic(ahead)
    store = export_parquet(ahead.path, tmp_path / "lake").store
    manifest = json.loads((tmp_path / "lake" / "_stores" / f"{store}.json").read_text())
    with steady(open_lake(*located(tmp_path / "lake"))) as opened:
        named = {part["file"] for parts in manifest["tables"].values() for part in parts.values()}
        assert set(opened.copies) == named


def test_files_on_another_disk_are_copied(server, tmp_path, monkeypatch):
    one = server("one", start_ns=today_ns())
    traffic(one)
    lake = tmp_path / "lake"
    export_parquet(one.path, lake)

    def link(*_paths):
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", link)
    with steady(open_lake(*located(lake))) as opened:
        assert {path: copy.read_bytes() for path, copy in opened.copies.items()} == {
            path: (lake / path).read_bytes() for path in opened.copies
        }


def test_files_that_are_replaced_faster_than_they_are_copied_are_an_error(server, tmp_path, monkeypatch):
    one = server("one", start_ns=today_ns())
    traffic(one)
    lake = tmp_path / "lake"
    export_parquet(one.path, lake)
    opened = open_lake(*located(lake))

    def vanish(*_arguments):
        raise FileNotFoundError

    monkeypatch.setattr(steady_module, "_copy", vanish)
    with pytest.raises(DatasetError, match=r"faster than they can be copied.*--every 10m"), steady(opened):
        pass
