"""An export of an earlier ragwheel, which was one store's alone, is read and becomes part of a lake of many.

``format1/lake`` was written by ragwheel 0.1.0 before stores had identities: twelve cited turns, a click each.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests.fleet.servers import contents, traffic

from ragwheel.datasets import build
from ragwheel.errors import DatasetError
from ragwheel.exporting import export_parquet
from ragwheel.fleet import pull

OLD = Path(__file__).with_name("format1") / "lake"


@pytest.fixture
def lake(tmp_path):
    shutil.copytree(OLD, tmp_path / "lake")
    return tmp_path / "lake"


def test_it_is_read_and_left_as_it_is(lake, tmp_path):
    before = contents(lake)
    assert build(lake, tmp_path / "set").evidence["click"] == 12
    with pytest.raises(DatasetError, match="export traces"):
        pull(lake, tmp_path / "pulled.db")
    assert contents(lake) == before


def test_another_stores_export_keeps_it_as_a_store_of_its_own(server, lake, tmp_path):
    one = server("one")
    traffic(one)
    evidence = build(lake, tmp_path / "before").evidence
    export_parquet(one.path, lake)
    pulled = pull(lake, tmp_path / "pulled.db")
    assert (pulled.stores, pulled.rows["retrieval"], pulled.rows["signal"]) == (2, 36, 12)
    after = build(lake, tmp_path / "after").evidence
    assert after["click"] == evidence["click"]
    assert not [path for path in lake.rglob("day=*") if path.parent.parent == lake and any(path.iterdir())]
    assert export_parquet(one.path, lake).written == 0


def test_an_upgrade_that_is_interrupted_leaves_it_readable(server, lake, tmp_path):
    one = server("one")
    traffic(one)

    def interrupt(_name, _done, _total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_parquet(one.path, lake, progress=interrupt)
    assert build(lake, tmp_path / "set").evidence["click"] == 12
    export_parquet(one.path, lake)
    assert pull(lake, tmp_path / "pulled.db").rows["retrieval"] == 36
