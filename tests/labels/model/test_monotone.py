"""With the model held fixed, evidence moves beliefs the way it points, whatever else there is."""

from __future__ import annotations

import random
from contextlib import closing

import pyarrow as pa
import pytest

from ragwheel.labels.engines.engine import DuckDBEngine
from ragwheel.labels.evidence.collect import collect
from ragwheel.labels.evidence.kinds import KINDS
from ragwheel.labels.model.beliefs import beliefs
from ragwheel.labels.model.learning import learn
from ragwheel.labels.policy import load_policy
from ragwheel.labels.traces.exposure import facts
from ragwheel.labels.traces.read import TextReader, read_store
from ragwheel.store import open_store
from ragwheel.testing import TraceStore

FOR = [name for name, kind in KINDS.items() if kind.direction > 0 and name != "dwell"]
AGAINST = [name for name, kind in KINDS.items() if kind.direction < 0 and name != "bounce"]


class Held:
    """A store of random behaviour, its evidence, and the model that was learned of it."""

    def __init__(self, path, engine):
        self.rng, self.engine, self.policy = random.Random(11), engine, load_policy()
        with TraceStore(path) as store:
            store._run("BEGIN")
            for n in range(150):
                self._turn(store, n)
            store._run("COMMIT")
        with closing(open_store(path)) as connection:
            self.facts = facts(engine, read_store(connection), TextReader(connection))
            table = collect(self.facts, self.policy)
            self.model = learn(self.facts, table, self.policy)
            self.evidence = engine.arrow(table)
        self.beliefs = self.believed([])

    def _turn(self, store, n):
        rng, query = self.rng, n % 20
        chunks = [f"q{query}c{place}" for place in rng.sample(range(8), 6)]
        shown = {"shown": [1, 2, 3, 4, 5]} if rng.random() < 0.7 else {}
        asked = store.ask(
            f"question {query}", chunks, prompted=[1, 2, 3, 4], cited=[rng.randint(1, 4)],
            user_id=f"u{rng.randrange(40)}", **shown,
        )  # fmt: skip
        for chunk in chunks[:5]:
            for kind in ("click", "copy", "bookmark", "thumbs_up", "thumbs_down", "delete"):
                if rng.random() < 0.07:
                    store.signal(asked, kind, chunk)
            if rng.random() < 0.1:
                store.signal(asked, "click", chunk)
                store.signal(asked, "dwell", chunk, value=rng.lognormvariate(1.5, 1))
        if n % 5 == 0:
            store.judge(f"question {query}", chunks[0], rng.randrange(6), judge=f"robot{n}", human=False)

    def believed(self, more):
        """Belief by pair, with ``more`` rows of evidence beside those of the store."""
        table = pa.concat_tables([self.evidence, pa.Table.from_pylist(more, self.evidence.schema)])
        evidence = self.engine.register("evidence_and_more", table)
        rows = self.engine.arrow(beliefs(self.facts, evidence, self.policy, self.model)).to_pylist()
        return {(row["query_key"], row["chunk_version"]): row["belief"] for row in rows}

    def another(self, pair, kind, n, subject, strength=1.0):
        """A piece of evidence about a pair, from a turn of its own."""
        rows = {(row["query_key"], row["chunk_version"]): row for row in self.evidence.to_pylist()}
        return rows[pair] | {
            "kind": kind, "direction": KINDS[kind].direction, "strength": strength, "subject": subject,
            "turn_id": f"turn {n}", "retrieval_id": f"retrieval {n}", "place": self.rng.randint(1, 12),
            "assumed": self.rng.random() < 0.3,
        }  # fmt: skip


@pytest.fixture(scope="module")
def held(tmp_path_factory):
    with DuckDBEngine(threads=1) as engine:
        yield Held(tmp_path_factory.mktemp("held") / "traces.db", engine)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("kinds", "sign"), [(FOR, 1), (AGAINST, -1)], ids=["for", "against"])
def test_evidence_of_another_person_moves_a_belief_only_the_way_it_points(held, kinds, sign, seed):
    rng = random.Random(seed)
    pairs = sorted(held.beliefs)
    more = [
        held.another(pair, rng.choice(kinds), f"{pair} {n}", f"new{n}", rng.choice((0.3, 1.0, 1.3)))
        for pair in pairs
        for n in range(seed + 1)
    ]
    after = held.believed(more)
    moved = {pair: after[pair] - held.beliefs[pair] for pair in pairs}
    assert {pair: value for pair, value in moved.items() if value * sign < -1e-6} == {}
    assert sum(value * sign > 1e-6 for value in moved.values()) > len(pairs) / 4


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(("kinds", "sign"), [(FOR, 1), (AGAINST, -1)], ids=["for", "against"])
def test_evidence_of_a_person_who_said_something_already_does_so_too(held, kinds, sign, seed):
    rng = random.Random(seed)
    rows = rng.sample(held.evidence.to_pylist(), len(held.evidence))
    subject = {(row["query_key"], row["chunk_version"]): row["subject"] for row in rows}
    pairs = sorted(held.beliefs)
    after = held.believed([held.another(pair, rng.choice(kinds), str(pair), subject[pair]) for pair in pairs])
    assert {pair: after[pair] for pair in pairs if (after[pair] - held.beliefs[pair]) * sign < -1e-6} == {}


def test_a_longer_reading_never_says_less(held):
    pairs = sorted(held.beliefs)
    before = held.beliefs
    last = dict.fromkeys(pairs, 0.0)
    for seconds in (0.1, 1.0, 2.9, 3.1, 8.0, 30.0, 400.0, 1e6):
        kind = "bounce" if seconds < held.policy.dwell.bounce_s else "dwell"
        beliefs_now = held.believed([held.another(pair, kind, "r", "reader", seconds) for pair in pairs])
        assert [pair for pair in pairs if beliefs_now[pair] < last[pair] - 1e-6] == []
        last = beliefs_now
    assert sum(last[pair] > before[pair] for pair in pairs) > len(pairs) / 2


def test_the_order_of_rows_does_not_matter(held):
    rows = held.evidence.to_pylist()
    random.Random(1).shuffle(rows)
    shuffled = held.engine.register("shuffled", pa.Table.from_pylist(rows, held.evidence.schema))
    found = held.engine.arrow(beliefs(held.facts, shuffled, held.policy, held.model)).to_pylist()
    assert {(row["query_key"], row["chunk_version"]): row["belief"] for row in found} == held.beliefs
