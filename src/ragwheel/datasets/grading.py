"""Read, label, split: everything of a build that happens before the first row is written."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import ibis
import pyarrow as pa
from ibis import _

from ragwheel.datasets.assemble import seeded
from ragwheel.datasets.options import SPLITS, BuildOptions
from ragwheel.datasets.splits import Group, assign, check_groups
from ragwheel.errors import LeakError
from ragwheel.labels.engine import Engine
from ragwheel.labels.evidence import collect
from ragwheel.labels.exposure import Facts, facts
from ragwheel.labels.grades import grade
from ragwheel.labels.near import families
from ragwheel.labels.negatives import GradedChunk
from ragwheel.labels.policy import Policy
from ragwheel.labels.read import StoreTables, TextReader, read_store
from ragwheel.labels.reasons import Reason, reason_of, reason_rows

__all__ = ["Labelled", "check_sessions", "label"]


@dataclass
class Labelled:
    """Graded query groups with their splits, ready to be written."""

    engine: Engine
    tables: StoreTables
    groups: list[tuple[str, Group]]
    splits: dict[str, str]
    evidence: dict[str, int]
    grades: dict[str, int]
    graded: ibis.Table
    reasons: ibis.Table
    text_of: Callable[[int], str]
    dropped: Counter[str] = field(default_factory=Counter)

    def chunks(self) -> Iterator[tuple[int, list[GradedChunk]]]:
        """The place of each group in ``groups`` and its graded chunks, in order."""
        reasons = _by_place(
            self.engine.batches(self.reasons.order_by("place", "chunk_version", "kind", "example"))
        )
        ahead = next(reasons, None)
        for place, rows in _by_place(self.engine.batches(self.graded.order_by("place", "chunk_version"))):
            while ahead is not None and ahead[0] < place:
                ahead = next(reasons, None)
            found = _reasons(ahead[1]) if ahead is not None and ahead[0] == place else {}
            yield place, [self._chunk(row, found.get(row["chunk_version"], ())) for row in rows]

    def elsewhere(self) -> dict[str, set[int]]:
        """For query groups with near-identical ones: the ``text_id`` of the positives of those others."""
        sizes = Counter(group.family for _, group in self.groups)
        shared = {place for place, (_, group) in enumerate(self.groups) if sizes[group.family] > 1}
        found: dict[str, dict[str, set[int]]] = {}
        positives = self.graded.filter(_.status == "positive").select("place", "text_id")
        for batch in self.engine.batches(positives) if shared else ():
            for place, text_id in zip(batch["place"].to_pylist(), batch["text_id"].to_pylist()):
                if place in shared:
                    group = self.groups[place][1]
                    found.setdefault(group.family, {}).setdefault(group.key, set()).add(text_id)
        return {
            key: set().union(*(texts for other, texts in found.get(group.family, {}).items() if other != key))
            for key, group in ((self.groups[place][1].key, self.groups[place][1]) for place in shared)
        }

    def _chunk(self, row: Mapping[str, Any], reasons: tuple[Reason, ...]) -> GradedChunk:
        values = {name: row[name] for name in _GRADED}
        return GradedChunk(text=self.text_of(row["text_id"]), reasons=reasons, **values)


_GRADED = (
    "chunk_version", "source", "chunk_id", "text_id", "status", "grade", "confidence", "strategy",
    "closeness",
)  # fmt: skip


def _by_place(batches: Iterator[pa.RecordBatch]) -> Iterator[tuple[int, list[dict[str, Any]]]]:
    rows = (row for batch in batches for row in batch.to_pylist())
    for place, found in groupby(rows, key=lambda row: int(row["place"])):
        yield place, list(found)


def _reasons(rows: list[dict[str, Any]]) -> dict[int, tuple[Reason, ...]]:
    found: dict[int, list[Reason]] = {}
    for (version, _kind), some in groupby(rows, key=lambda row: (row["chunk_version"], row["kind"])):
        found.setdefault(version, []).append(reason_of(some))
    return {version: tuple(reasons) for version, reasons in found.items()}


def label(
    connection: sqlite3.Connection,
    engine: Engine,
    policy: Policy,
    options: BuildOptions,
    previous: Mapping[str, str],
    stage: Callable[[str], None],
) -> Labelled:
    """Grade everything, split it, and grade what is train again without the sessions of test queries."""
    dropped: Counter[str] = Counter()
    stage("read")
    tables, text_of = read_store(connection), TextReader(connection)
    stage("exposure")
    known = facts(engine, tables, text_of)
    stage("evidence")
    evidence = collect(known, policy)
    counts = engine.arrow(evidence.group_by("kind").agg(n=_.count()).order_by("kind"))
    stage("grades")
    grades = engine.keep("grades", grade(known, evidence, policy))
    stage("splits")
    groups = _groups(known, grades, policy)
    splits = assign(groups, dev=options.dev, test=options.test, previous=previous, dropped=dropped)
    check_groups(groups, splits, previous)
    order = {name: place for place, name in enumerate(SPLITS)}
    kept = [(splits[group.key], group) for group in groups if group.key in splits]
    kept.sort(key=lambda item: (order[item[0]], seeded(options.seed, item[1].key), item[1].key))
    assigned = engine.register(
        "assigned",
        pa.table(
            {
                "query_key": pa.array([group.key for _, group in kept], pa.string()),
                "split": pa.array([split for split, _ in kept], pa.string()),
                "place": pa.array(range(len(kept)), pa.int64()),
            }
        ),
    )
    evidence, grades = _without_test_sessions(known, evidence, grades, assigned, policy, dropped)
    check_sessions(known, evidence, assigned)
    by_status = engine.arrow(grades.group_by("status").agg(n=_.count()).order_by("status"))
    for row in engine.arrow(
        grades.filter(_.reason != "").group_by("reason").agg(n=_.count()).order_by("reason")
    ).to_pylist():
        dropped[f"grade: abstained, {row['reason']}"] = row["n"]
    usable = grades.filter(_.status != "abstain").join(assigned.select("query_key", "place"), "query_key")
    graded = engine.keep(
        "graded",
        usable.join(known.chunks.select("chunk_version", "source", "chunk_id", "text_id"), "chunk_version"),
    )
    reasons = (
        reason_rows(evidence)
        .rename(example="place")
        .join(graded.select("query_key", "chunk_version", "place"), ["query_key", "chunk_version"])
    )
    return Labelled(
        engine=engine,
        tables=tables,
        groups=kept,
        splits=splits,
        evidence={row["kind"]: row["n"] for row in counts.to_pylist()},
        grades={row["status"]: row["n"] for row in by_status.to_pylist()},
        graded=graded,
        reasons=engine.keep("reasons", reasons),
        text_of=text_of,
        dropped=dropped,
    )


def _groups(known: Facts, grades: ibis.Table, policy: Policy) -> list[Group]:
    """Query groups that have a grade: their most frequent wording, and when they were first asked."""
    asked = known.retrievals.select("query_key", "query", at_ns="start_ns").union(
        known.judgments.select("query_key", "query", "at_ns"), distinct=False
    )
    texts = asked.group_by("query_key", "query").agg(n=_.count(), first_ns=_.at_ns.min())
    order = [texts.n.desc(), texts.first_ns, texts.query]
    texts = texts.mutate(
        place=ibis.row_number().over(group_by=texts.query_key, order_by=order),
        begun_ns=texts.first_ns.min().over(group_by=texts.query_key),
    ).filter(_.place == 0)
    usable = grades.filter(_.status != "abstain").select("query_key").distinct()
    rows = known.engine.arrow(texts.semi_join(usable, "query_key").order_by("query_key")).to_pylist()
    family = families({row["query_key"]: row["query"] for row in rows}, policy.negatives.near_query)
    return [Group(row["query_key"], family[row["query_key"]], row["query"], row["begun_ns"]) for row in rows]


def _test_sessions(known: Facts, assigned: ibis.Table) -> ibis.Table:
    tested = assigned.filter(_.split == "test").select("query_key")
    return (
        known.retrievals.semi_join(tested, "query_key")
        .filter(_.session_id.notnull())
        .select("session_id")
        .distinct()
    )


def _without_test_sessions(
    known: Facts,
    evidence: ibis.Table,
    grades: ibis.Table,
    assigned: ibis.Table,
    policy: Policy,
    dropped: Counter[str],
) -> tuple[ibis.Table, ibis.Table]:
    """What people did in sessions that hold a test query says nothing about train; those rows are counted."""
    engine = known.engine
    train = assigned.filter(_.split == "train").select("query_key")
    shared = evidence.semi_join(train, "query_key").semi_join(_test_sessions(known, assigned), "session_id")
    n = engine.count(shared)
    if not n:
        return evidence, grades
    dropped["evidence: of train, from a session that a test query belongs to"] = n
    sessions = _test_sessions(known, assigned).mutate(shared=True)
    marked = evidence.left_join(train.mutate(train=True), "query_key").drop("query_key_right")
    marked = marked.left_join(sessions, "session_id").drop("session_id_right")
    leaks = marked.train.fill_null(False) & marked.shared.fill_null(False)
    kept = engine.keep("evidence_kept", marked.filter(~leaks).drop("train", "shared"))
    again = engine.keep("grades_kept", grade(known, kept, policy))
    usable = [engine.count(table.filter(_.status != "abstain")) for table in (grades, again)]
    dropped["graded pair: of train, only from such a session"] = max(usable[0] - usable[1], 0)
    return kept, again


def check_sessions(known: Facts, evidence: ibis.Table, assigned: ibis.Table) -> None:
    """Fail the build rather than train on a session that is tested.

    Raises:
        LeakError: a row of evidence for a train query comes from a session with a test query.
    """
    split = assigned.select("query_key", "split")
    asked = known.retrievals.filter(_.session_id.notnull()).join(split, "query_key")
    tested = asked.filter(_.split == "test").select("session_id").distinct()
    used = evidence.join(split, "query_key").filter((_.split == "train") & _.session_id.notnull())
    leaks = known.engine.count(used.join(tested, "session_id"))
    if leaks:
        raise LeakError(
            f"{leaks} rows of evidence for train come from sessions with a test query. Nothing was written; "
            f"please report this."
        )
