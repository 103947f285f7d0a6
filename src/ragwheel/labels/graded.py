"""Every grade of a store, abstentions among them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import pyarrow as pa

from ragwheel.labels.engines.engine import DuckDBEngine
from ragwheel.labels.pipeline import grade_store
from ragwheel.labels.policy import Policy, load_policy
from ragwheel.labels.traces.naming import version_numbers, wordings
from ragwheel.labels.traces.read_source import open_source
from ragwheel.labels.traces.union import united

__all__ = ["STAGES", "graded"]

#: In their order.
STAGES: Final = ("read", "exposure", "evidence", "grades")


def graded(
    db: str | Path,
    *,
    policy: str | Path | Policy | None = None,
    stage: Callable[[str], None] | None = None,
) -> pa.Table:
    """One row per query group and chunk version that any evidence speaks about.

    Args:
        db: the database, or a folder or URL that ``ragwheel export traces`` wrote.
        policy: the label policy or a TOML file of one; None: the packaged one.
        stage: called with the name of each stage of :data:`STAGES` as it begins.

    Returns:
        The columns of :func:`ragwheel.labels.model.beliefs.decided`, with ``query`` (the most frequent
        wording of the group), ``source``, ``chunk_id`` and ``version`` (1, 2, 3 per chunk), ordered by query
        group, then from a chunk's first version to its newest.

    Raises:
        StoreError: the database cannot be read.
        ConfigurationError: the policy cannot be used.
    """
    rules = policy if isinstance(policy, Policy) else load_policy(policy)
    stage = stage or _silent
    with open_source(db, judgments_alone=False) as source, DuckDBEngine() as engine:
        stage("read")
        tables, text_of = source.read()
        store = grade_store(engine, united(engine, tables), text_of, rules, stage)
        named = store.grades.join(version_numbers(store.facts.chunks), "chunk_version")
        worded = named.join(wordings(store.facts).select("query_key", "query"), "query_key")
        return engine.arrow(worded.order_by("query_key", "version", "chunk_version"))


def _silent(_stage: str) -> None:
    """Take a stage that no caller asked for."""
