"""What the label stage computes in bulk is what the store's public views say, row for row."""

from __future__ import annotations

import random
from contextlib import closing

import pytest

from ragwheel.labels.engines.engine import DuckDBEngine
from ragwheel.labels.traces.exposure import facts, impressions, placements_of
from ragwheel.labels.traces.read import TextReader, read_store
from ragwheel.store import open_store
from ragwheel.testing import TraceSpec, TraceStore, write_traces

IMPRESSIONS = (
    "retrieval_id", "turn_id", "rank", "chunk_version", "score", "was_returned", "was_prompted", "was_shown",
    "assumed", "exposure",
)  # fmt: skip
SIGNALS = (
    "signal_id",
    "kind",
    "retrieval_id",
    "turn_id",
    "rank",
    "chunk_version",
    "value",
    "subject",
    "at_ns",
)


def ours(path):
    with closing(open_store(path)) as connection, DuckDBEngine(threads=1) as engine:
        tables = read_store(connection)
        known = facts(engine, tables, TextReader(connection))
        retrievals = engine.register("retrieval", tables.retrieval)
        placements = placements_of(engine.register("turn", tables.turn))
        every = impressions(retrievals, known.turns, placements, known.touches)
        return rows(engine, every, IMPRESSIONS), rows(engine, known.signals, SIGNALS)


def rows(engine, table, columns):
    found = engine.arrow(table.select(*columns)).to_pylist()
    return sorted((tuple(row[name] for name in columns) for row in found), key=repr)


def views(path):
    with closing(open_store(path)) as connection:
        found = []
        for view, columns in (("impressions", IMPRESSIONS), ("signals", SIGNALS)):
            flags = [name.startswith("was_") or name == "assumed" for name in columns]
            some = connection.execute(f"SELECT {', '.join(columns)} FROM {view}")
            made = [tuple(bool(v) if flag else v for v, flag in zip(row, flags)) for row in some]
            found.append(sorted(made, key=repr))
        return found


def write_odd_traces(path, seed):
    """All that bends exposure, at random: re-rankers, nesting, repeated chunks, foreign signals."""
    rng = random.Random(seed)
    with TraceStore(path) as store:
        for n in range(30):
            ranked = rng.choices("abcdefgh", k=rng.randint(0, 6))
            ranks = list(range(1, len(ranked) + 1))
            told = {
                name: rng.sample(ranks, rng.randint(0, len(ranks))) if rng.random() < 0.5 else None
                for name in ("prompted", "shown")
            }
            asked = store.ask(
                f"question {n % 5}", ranked,
                cited=[rng.choice(ranks)] if ranks and rng.random() < 0.6 else [],
                answer=rng.choice(["yes", "", None]),
                returned=rng.randint(0, len(ranked)),
                user_id=rng.choice([None, "u1"]),
                scores=rng.choice([None, [rng.random() for _ in ranked]]),
                **told,
            )  # fmt: skip
            turn_id = bytes.fromhex(asked.turn_id)
            if rng.random() < 0.5:
                more = {
                    "kind": rng.randint(0, 1),
                    "outer_id": rng.choice([None, bytes.fromhex(asked.retrieval_id)]),
                }
                store.retrieve(f"question {n % 5}", ["a", "z"], turn_id=turn_id, **more)
            for _ in range(rng.randint(0, 4)):
                kind = rng.choice(["click", "prefer", "impression", "delete", "thumbs_up"])
                store.signal(
                    asked, kind, rng.choice([*"abcdz", None]),
                    rank=rng.choice([None, 1, 2, 9]),
                    other=rng.choice(["b", "nowhere"]) if kind == "prefer" else None,
                    of_answer=rng.random() < 0.5,
                )  # fmt: skip
        store.signal("ffffffffffffffff", "click", "a")
        store.retrieve("no turn", ["a", "b"])


@pytest.mark.parametrize("seed", range(6))
def test_exposure_and_matching_are_those_of_the_views(tmp_path, seed):
    path = tmp_path / "odd.db"
    write_odd_traces(path, seed)
    (our_impressions, our_signals), (their_impressions, their_signals) = ours(path), views(path)
    assert our_impressions == their_impressions
    assert our_signals == their_signals
    assert {row[-1] for row in our_impressions} == {"logged", "returned", "prompted", "shown"}


def test_exposure_of_generated_traffic_is_that_of_the_view(tmp_path):
    path = tmp_path / "traces.db"
    write_traces(path, TraceSpec(turns=200, queries=20, chunks=200))
    assert [len(found) for found in ours(path)] == [len(found) for found in views(path)]
    assert list(ours(path)) == views(path)
