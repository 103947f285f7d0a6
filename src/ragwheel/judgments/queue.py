"""The queue of pairs to ask a person about, the most informative first.

First come pairs with contradicting people or kinds of evidence, then those on which the policy abstained, the
least certain ones, and retrieved chunks without any evidence. On request, chunks that ranked high but were
never exposed are added, for which behaviour can give no evidence. Within each tier, the best-ranked chunk of
every query comes before the second-best of any, so that a few grades reach many queries.

To check the calibration of beliefs (``check``), pairs are spread over all degrees of belief and over
questions.
"""

from __future__ import annotations

from collections import Counter, deque
from contextlib import closing
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

import ibis
from ibis import _

from ragwheel.judgments.pairs import OpenPair
from ragwheel.labels.engines.engine import DuckDBEngine
from ragwheel.labels.model.beliefs import CONTRADICTIONS
from ragwheel.labels.pipeline import GradedStore, grade_store
from ragwheel.labels.policy import load_policy
from ragwheel.labels.traces.exposure import Facts
from ragwheel.labels.traces.read import TextReader, read_store
from ragwheel.store import open_store

__all__ = ["Candidate", "OpenPair", "candidates", "open_pairs"]

_WHY: Final = ("contradictory", "abstained", "unsure", "nothing known", "never exposed", "sure")
_NEVER: Final = _WHY.index("never exposed")
_SURELY: Final = _WHY.index("sure")
_SURE: Final = 0.9
_DEGREES: Final = 5  # degrees of belief over which pairs for a check are spread
_HIGH_RANK: Final = 10  # worst rank of an unexposed chunk in the queue
_PAIR: Final = ["query_key", "chunk_version"]


@dataclass(frozen=True)
class Candidate:
    """A query and a chunk to judge.

    ``why`` is one of contradictory, abstained, unsure, nothing known, never exposed, sure; ``rank`` the best
    of the chunk.
    """

    query: str
    source: str
    chunk_id: str
    text: str
    rank: int
    why: str


def open_pairs(store: GradedStore, *, check: bool = False) -> list[OpenPair]:
    """Return every pair that a person or the LLM was exposed to, judged or not, the most informative first.

    With ``check``, the pairs that :func:`candidates` returns for a check come first.
    """
    facts = store.facts
    seen = facts.exposed.group_by(_PAIR).agg(best_rank=_["rank"].min()).mutate(exposed=True)
    rows = facts.engine.arrow(_open(facts, seen, store.grades, None)).to_pylist()
    ordered = _in_order(rows)
    if check:
        first = _spread(rows)
        among = {id(row) for row in first}
        ordered = first + [row for row in ordered if id(row) not in among]
    return [
        OpenPair(
            row["query_key"], row["query"], row["chunk_version"], row["source"], row["chunk_id"],
            row["best_rank"], _WHY[row["tier"]], row["belief"],
        )
        for row in ordered
    ]  # fmt: skip


def candidates(
    db: str | Path,
    *,
    judge: str,
    limit: int | None = None,
    policy: str | Path | None = None,
    unexposed: bool = False,
    check: bool = False,
) -> list[Candidate]:
    """Return pairs that ``judge`` has not judged, the most informative first, in a reproducible order.

    Args:
        db: the database.
        judge: the judge whose judgments are left out; other judges' judgments only affect the order.
        limit: the largest number of pairs.
        policy: the label policy, as for a build.
        unexposed: whether to add chunks at ranks 1-10 that neither the app, the LLM nor a person was given.
        check: return pairs for a check of beliefs instead: pairs without a person's judgment, spread evenly
            over all degrees of belief and, as far as possible, over questions.

    Raises:
        StoreError: the database cannot be read.
        ConfigurationError: the policy cannot be used.
    """
    rule = load_policy(policy)
    with closing(open_store(db, require_traces=True)) as connection, DuckDBEngine() as engine:
        tables = read_store(connection)
        store = grade_store(engine, tables, TextReader(connection), rule)
        facts, graded = store.facts, store.grades
        seen = facts.exposed.group_by(_PAIR).agg(best_rank=_["rank"].min()).mutate(exposed=True)
        if unexposed:
            ranked = engine.register("retrieval", tables.retrieval).filter(_.query_key != "")
            seen = engine.keep("seen", seen.union(_high(ranked).anti_join(seen, _PAIR)))
        rows = engine.arrow(_open(facts, seen, graded, judge)).to_pylist()
        chosen: list[Candidate] = []
        for row in _spread(rows) if check else _in_order(rows)[:limit]:
            if len(chosen) == limit:
                break
            text = facts.text_of(row["text_id"])
            if text.strip():
                why = _WHY[row["tier"]]
                chosen.append(
                    Candidate(row["query"], row["source"], row["chunk_id"], text, row["best_rank"], why)
                )
    return chosen


def _high(retrievals: ibis.Table) -> ibis.Table:
    """Return every pair that was ranked high, exposed or not, with its best rank."""
    rows = retrievals.select("query_key", "items").unnest("items", offset="place")
    rows = rows.select("query_key", chunk_version=rows["items"]["chunk_version"], place=rows.place)
    rows = rows.filter((_.place < _HIGH_RANK) & _.chunk_version.notnull())
    best = rows.group_by(_PAIR).agg(best_rank=(_.place.min() + 1).cast("int32"))
    return best.mutate(exposed=False)


def _open(facts: Facts, seen: ibis.Table, graded: ibis.Table, judge: str | None) -> ibis.Table:
    """Return the seen pairs that the judge (None: no judge) has not judged, with tier and doubt (0-1)."""
    rows = seen.left_join(graded, _PAIR).drop("query_key_right", "chunk_version_right")
    chunks = facts.chunks.select("chunk_version", "source", "chunk_id", "text_id")
    rows = rows.join(chunks, "chunk_version")
    if judge is not None:
        mine = facts.judgments.filter(_.judge == judge).select("query_key", "source", "chunk_id").distinct()
        rows = rows.anti_join(mine, ["query_key", "source", "chunk_id"])
    worded = facts.retrievals.group_by("query_key", "query").agg(n=_.count())
    order = [worded.n.desc(), worded.query]
    first = ibis.row_number().over(group_by=worded.query_key, order_by=order)
    texts = worded.mutate(place=first).filter(_.place == 0).select("query_key", "query")
    rows = rows.join(texts, "query_key")
    human = facts.judgments.filter(_.human).select("query_key", "source", "chunk_id").distinct()
    rows = rows.left_join(human.mutate(judged=True), ["query_key", "source", "chunk_id"])
    rows = rows.drop("query_key_right", "source_right", "chunk_id_right")
    reason = rows.reason.fill_null("")
    tier = ibis.cases(
        (reason.isin(CONTRADICTIONS), 0),
        (rows.status == "abstain", 1),
        (rows.status.isnull(), ibis.ifelse(rows.exposed, _NEVER - 1, _NEVER)),
        (rows.confidence < _SURE, 2),
        else_=_SURELY,
    )
    doubt = 1 - (rows.belief.fill_null(0.5) * 2 - 1).abs()
    return rows.mutate(tier=tier, doubt=doubt.round(6)).select(
        *_PAIR, "query", "source", "chunk_id", "text_id", "best_rank", "tier", "doubt", "belief",
        judged=rows.judged.fill_null(False),
    )  # fmt: skip


def _in_order(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Order by tier, then one pair of every query in turn, by doubt and rank."""
    rows.sort(
        key=lambda row: (
            row["tier"],
            -row["doubt"],
            row["best_rank"],
            row["query_key"],
            row["chunk_version"],
        )
    )
    turns: Counter[tuple[int, str]] = Counter()
    for row in rows:
        row["turn"] = turns[row["tier"], row["query_key"]]
        turns[row["tier"], row["query_key"]] += 1
    return sorted(rows, key=lambda row: (row["tier"], row["turn"]))


def _spread(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return pairs with traces and without a person's judgment, one of every degree of belief in turn.

    Within a degree the order is pseudo-random, and questions without a judgment come first.
    """
    degrees: list[deque[dict[str, Any]]] = [deque() for _degree in range(_DEGREES)]
    for row in sorted(rows, key=_hash_of):
        if row["belief"] is not None and not row["judged"]:
            degrees[min(int(row["belief"] * _DEGREES), _DEGREES - 1)].append(row)
    first: list[dict[str, Any]] = []
    later: list[dict[str, Any]] = []
    asked: set[str] = set()
    while any(degrees):
        for degree in degrees:
            while degree:
                row = degree.popleft()
                if row["query_key"] not in asked:
                    asked.add(row["query_key"])
                    first.append(row)
                    break
                later.append(row)
    return first + later


def _hash_of(row: dict[str, Any]) -> bytes:
    name = f"{row['query_key']} {row['source']} {row['chunk_id']} {row['chunk_version']}"
    return blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest()
