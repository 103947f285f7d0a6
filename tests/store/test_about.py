"""Signals found by key are the rows of the views, and no signal of anybody else is looked at."""

from __future__ import annotations

import contextlib
import json

import pytest

from ragwheel.store import about, open_store
from ragwheel.testing import TraceSpec, TraceStore, write_traces

VIEWS = """
SELECT kind, retrieval_id, rank, chunk_id, value, query, other, subject, NULL AS unmatched, comment, reason,
       0 AS retracted, 0 AS robot, at_ns
  FROM signals
 WHERE retrieval_id IN (SELECT value FROM json_each(?1)) OR turn_id IN (SELECT value FROM json_each(?1))
UNION ALL
SELECT kind, CASE target WHEN 'retrieval' THEN target_id END, rank, chunk_id, value, query, other, subject,
       reason, comment, signal_reason, 0, 0, at_ns
  FROM unmatched_signals WHERE target_id IN (SELECT value FROM json_each(?1))
"""
COUNTS = """
SELECT coalesce(turn_id, retrieval_id), count(*) FROM signals
 WHERE coalesce(turn_id, retrieval_id) IN (SELECT value FROM json_each(?1)) GROUP BY 1
"""


@pytest.fixture(scope="module")
def generated(tmp_path_factory):
    path = tmp_path_factory.mktemp("about") / "app.db"
    write_traces(path, TraceSpec(turns=150, queries=20, chunks=100, k=10))
    return path


@pytest.fixture
def odd(tmp_path):
    """Every state that a signal may be in."""
    with TraceStore(tmp_path / "odd.db") as store:
        asked = store.ask("one", ["a", "b", "a2"], user_id="u1")
        store.signal(asked, "click", "a")
        store.signal(asked, "click", "a", of_answer=True)
        store.signal(asked, "dwell", value=3.0, rank=2, subject="u2")
        store.signal(asked, "thumbs_up", of_answer=True)
        store.signal(asked, "copy", "never served")
        store.signal(asked, "prefer", "a", other="b")
        store.signal(asked, "reformulate", query="two", other="u1.x")
        alone = store.retrieve("alone", ["c"], user_id="u3")
        store.signal(alone, "bookmark", "c")
        store.signal(alone, "thumbs_down")
        open_turn = store.retrieve("not ended", ["a"], turn_id=bytes.fromhex("00000000000000aa"))
        store.signal(open_turn, "click", "a")
        store.signal("00000000000000aa", "click", "a", of_answer=True)
        store.signal("00000000000000aa", "thumbs_up", of_answer=True)
        store.signal("00000000000000bb", "click", "a")
        store.signal(asked, "thumbs_down", "a", comment="no", reason="outdated", event_id="undone")
        store.signal(asked, "retract", other="undone")
        store.signal(asked, "retract", other="never sent", comment="why")
    return store.path


def targets(connection):
    """Of every turn its id and those of its retrievals; every retrieval alone; what nobody has."""
    turns = connection.execute(
        "SELECT turn_id, json_group_array(retrieval_id) FROM retrievals WHERE turn_id IS NOT NULL GROUP BY 1"
    )
    every = [[turn, *json.loads(inside)] for turn, inside in turns]
    every += [[id] for (id,) in connection.execute("SELECT retrieval_id FROM retrievals")]
    return [*every, ["00000000000000bb"], ["ffffffffffffffff"], []]


@pytest.mark.parametrize("which", ["generated", "odd"])
def test_the_rows_are_those_of_the_views(which, request):
    with contextlib.closing(open_store(request.getfixturevalue(which))) as connection:
        found = 0
        for ids in targets(connection):
            signals = about.signals_about(connection, ids)
            rows = [tuple(row.values()) for row in signals if not row["retracted"]]
            assert [row["comment"] for row in signals if row["retracted"]] == [
                comment for (comment,) in connection.execute(
                    "SELECT comment FROM retracted_signals"
                    " WHERE target_id IN (SELECT value FROM json_each(?))",
                    [json.dumps(ids)],
                )
            ]  # fmt: skip
            if len(ids) != 1 or ids[0] > "ff":  # a retrieval in a turn: the views know its turn's too
                wanted = connection.execute(VIEWS, (json.dumps(ids),)).fetchall()
                assert sorted(rows, key=repr) == sorted(wanted, key=repr)
            assert [row[-1] for row in rows] == sorted(row[-1] for row in rows)
            found += len(rows)
        assert found


@pytest.mark.parametrize("which", ["generated", "odd"])
def test_counts_and_prefixes_are_those_of_the_views(which, request):
    with contextlib.closing(open_store(request.getfixturevalue(which))) as connection:
        ids = [id for (id,) in connection.execute(
            "SELECT DISTINCT coalesce(turn_id, retrieval_id) FROM retrievals")]  # fmt: skip
        assert about.count_signals(connection, ids) == dict(
            connection.execute(COUNTS, (json.dumps(ids),)).fetchall()
        )
        every = connection.execute("SELECT signal_id, retrieval_id, turn_id FROM signals").fetchall()
        for id, retrieval, turn in every[:50]:
            assert about.targets_of(connection, id) == [(retrieval, turn)]
        begins = every[0][0][:8]
        wanted = [tuple(row[1:]) for row in every if row[0].startswith(begins)]
        assert sorted(about.targets_of(connection, begins), key=repr) == sorted(wanted, key=repr)


def test_only_the_signals_asked_for_are_looked_at(generated):
    with contextlib.closing(open_store(generated)) as connection:
        for sql, keys in (
            (about._ABOUT.format(marks="?"), [b"12345678"]),
            (about._COUNTED.format(marks="(?)"), [b"12345678"]),
            (about._TARGETS, [b"1234", b"1235"]),
        ):
            plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", keys)]
            assert any("SEARCH g USING" in step or "SEARCH _signal" in step for step in plan), plan
            assert not [step for step in plan if step.startswith(("SCAN g", "SCAN _signal", "SCAN m"))], plan
