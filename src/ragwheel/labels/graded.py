"""Every grade of a store, abstentions among them."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pyarrow as pa

from ragwheel.labels.engine import Engine
from ragwheel.labels.evidence import collect
from ragwheel.labels.exposure import facts
from ragwheel.labels.grades import grade
from ragwheel.labels.learning import learn
from ragwheel.labels.policy import load_policy
from ragwheel.labels.read import TextReader, read_store
from ragwheel.store import open_store

__all__ = ["graded"]


def graded(db: str | Path, *, policy: str | Path | None = None) -> pa.Table:
    """One row per query group and chunk version that any evidence speaks about.

    Args:
        db: the database.
        policy: a TOML file of the label policy; None: the packaged one.

    Returns:
        The columns of :func:`ragwheel.labels.grades.grade`, and ``source`` and ``chunk_id``, ordered by
        query group and chunk version.

    Raises:
        StoreError: the database cannot be read.
        ConfigurationError: the policy cannot be used.
    """
    rules = load_policy(policy)
    with closing(open_store(db, require_traces=True)) as connection, Engine() as engine:
        known = facts(engine, read_store(connection), TextReader(connection), bots=rules.signals.bots)
        evidence = collect(known, rules)
        table = grade(known, evidence, rules, learn(known, evidence, rules))
        named = table.join(known.chunks.select("chunk_version", "source", "chunk_id"), "chunk_version")
        return engine.arrow(named.order_by("query_key", "chunk_version"))
