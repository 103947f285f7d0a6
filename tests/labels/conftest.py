"""A hand-made store, and what the label stage makes of it."""

from __future__ import annotations

import math
from contextlib import closing

import pytest

from ragwheel.labels.engines.engine import DuckDBEngine
from ragwheel.labels.evidence.collect import collect, described
from ragwheel.labels.pipeline import grade_store
from ragwheel.labels.policy import load_policy
from ragwheel.labels.traces.exposure import facts
from ragwheel.labels.traces.read import TextReader, read_store
from ragwheel.store import open_store
from ragwheel.testing import TraceStore


@pytest.fixture
def store(tmp_path):
    with TraceStore(tmp_path / "traces.db") as made:
        yield made


@pytest.fixture
def engine():
    with DuckDBEngine(threads=1) as made:
        yield made


@pytest.fixture
def policy():
    return load_policy()


@pytest.fixture
def fixed(policy):
    """The packaged policy with rates that stay where it sets them, and with other rules by section."""

    def changed(**sections):
        sections = {"learning": {"enabled": False}} | sections
        updates = {name: getattr(policy, name).model_copy(update=rules) for name, rules in sections.items()}
        return policy.model_copy(update=updates)

    return changed


@pytest.fixture
def expected(policy):
    """The belief of a chunk at a rank with so many log-odds of evidence, by the priors of the policy."""

    def belief(rank, log_odds=0.0):
        prior = policy.prior.log_odds_first + policy.prior.slope * math.log(rank)
        return pytest.approx(1 / (1 + math.exp(-prior - log_odds)), abs=1e-5)

    return belief


@pytest.fixture
def evidence(store, engine, policy):
    """Rows of evidence as dictionaries, in a fixed order."""

    def compute(kind=None):
        with closing(open_store(store.path)) as connection:
            known = facts(engine, read_store(connection), TextReader(connection))
            rows = engine.arrow(described(known, collect(known, policy))).to_pylist()
        found = [row for row in rows if kind in (None, row["kind"])]
        return sorted(found, key=lambda row: (row["kind"], row["at_ns"], row["chunk_id"]))

    return compute


@pytest.fixture
def grades(store, engine, policy):
    """Grades by chunk id, or by another column."""

    def compute(rules=policy, by="chunk_id"):
        with closing(open_store(store.path)) as connection:
            graded = grade_store(engine, read_store(connection), TextReader(connection), rules)
            known = graded.facts
            named = graded.grades.join(known.chunks.select("chunk_version", "chunk_id"), "chunk_version")
            return {row[by]: row for row in engine.arrow(named).to_pylist()}

    return compute
