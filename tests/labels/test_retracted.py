"""What a person took back is no evidence, in the store as in an export of it."""

import sqlite3
from contextlib import closing

from ragwheel.exporting import export_parquet
from ragwheel.labels.engines.engine import DuckDBEngine
from ragwheel.labels.traces.read import read_store
from ragwheel.labels.traces.read_source import open_source
from ragwheel.labels.traces.union import united
from ragwheel.store import open_store
from ragwheel.testing import TraceStore

TAKE_BACK = """
INSERT INTO _signal (span_id, trace_id, kind, target, target_id, other, at_ns, received_ns)
SELECT x'00ff00ff00ff00ff', trace_id, 'retract', target, target_id, event_id, at_ns, received_ns
  FROM _signal WHERE event_id = 'vote'
"""


def kinds(tables):
    """The kinds of the signals that count, of one store or of all stores of a lake."""
    with DuckDBEngine() as engine:
        signals = engine.register("signals", united(engine, tables).signal)
        return sorted(engine.arrow(signals.select("kind"))["kind"].to_pylist())


def test_the_labels_read_no_signal_that_was_taken_back(tmp_path):
    db, dest = tmp_path / "app.db", tmp_path / "traces"
    with TraceStore(db) as store:
        asked = store.ask("one", ["a", "b"], user_id="u1")
        store.signal(asked, "click", "a")
        store.signal(asked, "thumbs_down", "b", event_id="vote")
    export_parquet(db, dest)
    with open_source(dest) as source:
        assert kinds(source.read()[0]) == ["click", "thumbs_down"]
    with closing(sqlite3.connect(db)) as connection:
        connection.execute(TAKE_BACK)
        connection.commit()
    with closing(open_store(db)) as connection:
        assert kinds(read_store(connection)) == ["click"]
    export_parquet(db, dest)
    with open_source(dest) as source:
        assert kinds(source.read()[0]) == ["click"], "the day of the vote is written again"
