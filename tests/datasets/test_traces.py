"""The generator of made-up traffic: seeded, complete, refusing to overwrite; and traffic really captured."""

from __future__ import annotations

from contextlib import closing

import pytest

from ragwheel.store import open_store
from ragwheel.testing import TraceSpec, World, synthetic_world, write_traces


def dump(path):
    with closing(open_store(path)) as connection:
        return list(connection.iterdump())


def test_the_same_spec_is_the_same_database(tmp_path):
    for name, seed in (("one", 1), ("two", 1), ("three", 2)):
        write_traces(tmp_path / name, TraceSpec(turns=50, queries=10, chunks=100, seed=seed))
    assert dump(tmp_path / "one") == dump(tmp_path / "two") != dump(tmp_path / "three")
    with pytest.raises(FileExistsError, match="new file only"):
        write_traces(tmp_path / "one")


def test_all_signals_and_citations_match(tmp_path):
    write_traces(tmp_path / "traces.db", TraceSpec(turns=100, queries=10, chunks=100))
    with closing(open_store(tmp_path / "traces.db")) as connection:
        assert connection.execute("SELECT count(*) FROM unmatched_signals").fetchone() == (0,)
        assert connection.execute("SELECT min(matched), count(*) > 10 FROM citations").fetchone() == (1, 1)
        assert connection.execute("SELECT count(DISTINCT exposure) FROM impressions").fetchone() == (2,)


def test_a_world_of_ones_own(tmp_path):
    world = World(["who?"], [("a", "me"), ("b", "you")], [[1, 0]], [{0: 2}])
    assert write_traces(tmp_path / "traces.db", TraceSpec(turns=3), world) is world
    assert world.relevant_pairs() == {("who?", "a")}
    spec = TraceSpec(queries=4, relevant=2)
    assert len(synthetic_world(spec).relevant_pairs()) == 8
