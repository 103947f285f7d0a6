"""Provenance: every column holds ids of the kind that its name says."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from ragwheel.datasets import build, open_dataset
from ragwheel.store import open_store


def ids_of(path, view, column):
    with closing(open_store(path)) as connection:
        connection.row_factory = sqlite3.Row
        return {row[0] for row in connection.execute(f"SELECT {column} FROM {view}")}


def test_ids_stand_in_the_column_of_their_kind_also_after_a_reformulation(store, ask_many, tmp_path):
    for query in ask_many(4):
        old = store.ask(f"{query} put badly", [f"{query}-p", f"{query}-q"], session_id=query)
        new = store.ask(f"{query} put better", [f"{query}-r", f"{query}-s"], cited=[1], session_id=query)
        click = store.signal(new, "click", f"{query}-s", subject=query)
        signal = store.signal(old, "reformulate", other=new.retrieval_id, subject=query)
        store.judge(f"{query} put badly", f"{query}-r", 5)
        store.judge(f"{query} put badly", f"{query}-s", 5)
        assert click != signal
    signals = ids_of(store.path, "spans WHERE kind = 'signal'", "span_id")
    retrievals = ids_of(store.path, "retrievals", "retrieval_id")
    turns = ids_of(store.path, "turns", "turn_id")
    origins = open_dataset(build(store.path, tmp_path / "data").out).provenance().to_pylist()
    assert any("reformulated" in origin["kinds"] for origin in origins)
    assert any(origin["signal_ids"] for origin in origins)
    for origin in origins:
        assert set(origin["signal_ids"]) <= signals
        assert set(origin["retrieval_ids"]) <= retrievals
        assert set(origin["turn_ids"]) <= turns
