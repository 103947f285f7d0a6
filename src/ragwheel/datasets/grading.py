"""Read, label, split: everything of a build that happens before the first row is written."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import ibis
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from ibis import _

from ragwheel.datasets.assemble import seeded
from ragwheel.datasets.labelled import Labelled
from ragwheel.datasets.llm_judged import only_judged_are_trained, without_judged_tests
from ragwheel.datasets.options import SPLITS, BuildOptions
from ragwheel.datasets.query_splits import NONE, QuerySplits, text_column
from ragwheel.datasets.splits import Assignment, QueryGroups, assign, check_groups
from ragwheel.datasets.strikes import Strikes
from ragwheel.errors import LeakError
from ragwheel.labels.calibration import reliability
from ragwheel.labels.engines.engine import RelationalEngine
from ragwheel.labels.pipeline import grade_rows, grade_store
from ragwheel.labels.policy import Policy
from ragwheel.labels.reasons import reason_rows
from ragwheel.labels.traces.exposure import Facts
from ragwheel.labels.traces.naming import wordings
from ragwheel.labels.traces.near import near_roots
from ragwheel.labels.traces.read import StoreTables
from ragwheel.labels.traces.read_source import Source
from ragwheel.labels.traces.text import KEY_CHARACTERS
from ragwheel.labels.traces.union import united

__all__ = ["Inputs", "check_sessions", "label"]


def _ranked(facts: Facts, tables: StoreTables, assigned: ibis.Table, usable: _Usable) -> ibis.Table:
    """place, chunk_version of all that was ever ranked for a need with a positive, exposed or not.

    A need is asked in other words too: what was ranked for near-identical queries, and before and after a
    reformulation, is as unknown as what was ranked for the group itself.
    """
    places = usable.graded.filter(_.status == "positive").select("place").distinct()
    own = assigned.select("query_key", "family", "place").semi_join(places, "place")
    alike = own.select("family", "place").join(assigned.select("query_key", "family"), "family")
    heads = facts.retrievals.select("retrieval_id", "query_key")
    found = usable.evidence.filter(_.kind == "reformulated").select("query_key", "retrieval_id")
    links = found.rename(old="query_key").join(heads.rename(new="query_key"), "retrieval_id")
    both = links.select(query_key="old", other="new").union(
        links.select(query_key="new", other="old"), distinct=True
    )
    wordings = own.select("query_key", "place").join(both, "query_key").select("place", query_key="other")
    wanted = ibis.union(
        own.select("place", "query_key"), alike.select("place", "query_key"), wordings, distinct=True
    )
    rankings = facts.engine.register("ranking", tables.retrieval).select("query_key", "items")
    rows = rankings.join(wanted, "query_key").select("place", "items").unnest("items")
    return rows.select("place", chunk_version=rows["items"]["chunk_version"]).distinct()


@dataclass(frozen=True)
class Inputs:
    """What :func:`label` works with: where traces come from, the engine and the rules.

    Args:
        source: see :mod:`ragwheel.labels.traces.read_source`.
        engine: see :mod:`ragwheel.labels.engines.engine`.
        policy, options: what was asked for.
        previous: the splits of earlier builds and evaluation sets.
        stage: called with the name of each stage as it begins.
    """

    source: Source
    engine: RelationalEngine
    policy: Policy
    options: BuildOptions
    previous: Assignment
    stage: Callable[[str], None]


@dataclass(frozen=True)
class _Usable:
    """Evidence that splits allow, the grades that follow from it, and those that make rows."""

    evidence: ibis.Table
    grades: ibis.Table
    graded: ibis.Table


def label(inputs: Inputs) -> Labelled:
    """Grade everything, split it, and grade what is train again without the sessions of test queries."""
    engine, policy, dropped = inputs.engine, inputs.policy, Counter[str]()
    inputs.stage("read")
    tables, text_of = inputs.source.read()
    tables = united(engine, tables)
    store = grade_store(engine, tables, text_of, policy, inputs.stage)
    known, evidence, model = store.facts, store.evidence, store.model
    if not policy.signals.bots:
        robots = engine.register("signal", tables.signal).filter(_.bot)
        dropped["signal: of a known robot"] = engine.count(robots)
    unasked = engine.register("retrieval", tables.retrieval).filter(_.query_key == "")
    dropped["retrieval: its query has no text"] = engine.count(unasked)

    def regrade(rows: ibis.Table) -> ibis.Table:
        return grade_rows(known, rows, policy, model)

    grades = store.grades
    inputs.stage("splits")
    counts = _counted(engine, evidence, "kind")
    splits, assigned = _split(inputs, known, evidence, grades, regrade, dropped)
    usable = _usable(known, evidence, grades, assigned, regrade, dropped)
    strikes = Strikes.of(inputs.source.struck())
    usable = _without_struck(engine, usable, strikes, dropped)
    return Labelled(
        engine=engine,
        tables=tables,
        splits=splits,
        evidence=counts,
        grades=_counted(engine, usable.grades, "status"),
        grades_table=usable.grades,
        assigned=assigned,
        graded=usable.graded,
        reasons=_reasons_of(engine, usable),
        text_of=text_of,
        known=known,
        ranked=engine.keep("ranked", _ranked(known, tables, assigned, usable)),
        policy=policy,
        strikes=strikes,
        model=model,
        reliability=reliability(store.judged),
        dropped=dropped,
    )


def _counted(engine: RelationalEngine, table: ibis.Table, column: str) -> dict[str, int]:
    rows = engine.arrow(table.group_by(column).agg(n=_.count()).order_by(column)).to_pylist()
    return {row[column]: row["n"] for row in rows}


def _split(
    inputs: Inputs,
    facts: Facts,
    evidence: ibis.Table,
    grades: ibis.Table,
    regrade: Callable[[ibis.Table], ibis.Table],
    dropped: Counter[str],
) -> tuple[QuerySplits, ibis.Table]:
    """The split of every group's key, and the groups that make rows with their place in the dataset."""
    options, engine = inputs.options, facts.engine
    usable = grades.filter(_.status != "abstain").select("query_key").distinct()
    asked = engine.keep("asked", _asked(facts, usable, inputs.previous.tested))
    groups, has_grade = _groups(engine, asked, inputs.policy)
    previous = only_judged_are_trained(facts, evidence, grades, regrade, inputs.previous)
    codes = assign(groups, dev=options.dev, test=options.test, previous=previous, dropped=dropped)
    check_groups(groups, codes, previous)
    with_rows = (codes != NONE) & has_grade
    families = np.where(with_rows, groups.keys[groups.families], b"")
    splits = QuerySplits.of(groups.keys[codes != NONE], codes[codes != NONE], families[codes != NONE])
    keys, codes, families = groups.keys[with_rows], codes[with_rows], families[with_rows]
    drawn = np.array([seeded(options.seed, key.decode()) for key in keys.tolist()], np.uint64)
    order = np.lexsort((keys, drawn, codes))
    columns = {
        "query_key": text_column(keys[order]),
        "family": text_column(families[order]),
        "split": pa.array(SPLITS).take(pa.array(codes[order])),
        "place": pa.array(np.arange(len(keys))),
    }
    placed = engine.register("placed", pa.table(columns))
    texts = asked.select("query_key", "query", first_ns="begun_ns")
    return splits, engine.keep("assigned", placed.join(texts, "query_key"))


def _usable(
    facts: Facts,
    evidence: ibis.Table,
    grades: ibis.Table,
    assigned: ibis.Table,
    regrade: Callable[[ibis.Table], ibis.Table],
    dropped: Counter[str],
) -> _Usable:
    """What may be used where: nothing of test sessions in train, nothing of an LLM judge's in test."""
    engine = facts.engine
    evidence, grades = _without_test_sessions(facts, evidence, grades, assigned, regrade, dropped)
    evidence, grades = without_judged_tests(facts, evidence, grades, assigned, regrade, dropped)
    check_sessions(facts, evidence, assigned)
    for reason, n in _counted(engine, grades.filter(_.reason != ""), "reason").items():
        dropped[f"grade: abstained, {reason}"] = n
    named = facts.chunks.select("chunk_version", "source", "chunk_id", "text_id")
    text = grades.filter(_.status != "abstain").join(assigned.select("query_key", "place"), "query_key")
    return _Usable(evidence, grades, engine.keep("graded", text.join(named, "chunk_version")))


def _without_struck(
    engine: RelationalEngine, usable: _Usable, strikes: Strikes, dropped: Counter[str]
) -> _Usable:
    """Leave out the chunks that people struck out for a question."""
    if not strikes.chunks:
        return usable
    left = engine.keep("graded_left", strikes.left(engine, usable.graded))
    dropped["chunk: struck out by a person"] = engine.count(usable.graded) - engine.count(left)
    return replace(usable, graded=left)


def _reasons_of(engine: RelationalEngine, usable: _Usable) -> ibis.Table:
    places = usable.graded.select("query_key", "chunk_version", "place")
    rows = reason_rows(usable.evidence).rename(example="place")
    return engine.keep("reasons", rows.join(places, ["query_key", "chunk_version"]))


def _asked(facts: Facts, usable: ibis.Table, tested: Mapping[str, str]) -> ibis.Table:
    """Query groups with their most frequent wording, when they were first asked, and if they have a grade.

    Those of an evaluation set for test are among them whether they have one or not: what is near-identical to
    one is test too.
    """
    keys = facts.engine.register("tested", pa.table({"query_key": pa.array(sorted(tested), pa.string())}))
    wanted = usable.mutate(graded=True).union(
        keys.anti_join(usable, "query_key").mutate(graded=False), distinct=False
    )
    return wordings(facts).join(wanted, "query_key").select("query_key", "query", "begun_ns", "graded")


def _groups(
    engine: RelationalEngine, asked: ibis.Table, policy: Policy
) -> tuple[QueryGroups, npt.NDArray[np.bool_]]:
    """The groups with their families, and which of them have a grade; their texts stay on the engine."""
    keys, first_ns, graded = bytearray(), array("q"), bytearray()

    def texts() -> Iterator[str]:
        for batch in engine.batches(asked.order_by("query_key")):
            keys.extend("".join(batch["query_key"].to_pylist()).encode())
            first_ns.extend(batch["begun_ns"].to_pylist())
            graded.extend(batch["graded"].to_pylist())
            yield from batch["query"].to_pylist()

    families = near_roots(texts(), policy.negatives.near_query)
    groups = QueryGroups(
        np.frombuffer(bytes(keys), f"S{KEY_CHARACTERS}"), families, np.array(first_ns, np.int64)
    )
    return groups, np.frombuffer(bytes(graded), np.bool_)


def _test_sessions(facts: Facts, assigned: ibis.Table) -> ibis.Table:
    tested = assigned.filter(_.split == "test").select("query_key")
    return (
        facts.retrievals.semi_join(tested, "query_key")
        .filter(_.session_id.notnull())
        .select("session_id")
        .distinct()
    )


def _without_test_sessions(
    facts: Facts,
    evidence: ibis.Table,
    grades: ibis.Table,
    assigned: ibis.Table,
    regrade: Callable[[ibis.Table], ibis.Table],
    dropped: Counter[str],
) -> tuple[ibis.Table, ibis.Table]:
    """What people did in sessions that hold a test query says nothing about train; those rows are counted."""
    engine = facts.engine
    train = assigned.filter(_.split == "train").select("query_key")
    shared = evidence.semi_join(train, "query_key").semi_join(_test_sessions(facts, assigned), "session_id")
    n = engine.count(shared)
    if not n:
        return evidence, grades
    dropped["evidence: of train, from a session that a test query belongs to"] = n
    sessions = _test_sessions(facts, assigned).mutate(shared=True)
    marked = evidence.left_join(train.mutate(train=True), "query_key").drop("query_key_right")
    marked = marked.left_join(sessions, "session_id").drop("session_id_right")
    leaks = marked.train.fill_null(False) & marked.shared.fill_null(False)
    kept = engine.keep("evidence_kept", marked.filter(~leaks).drop("train", "shared"))
    again = engine.keep("grades_kept", regrade(kept))
    usable = [engine.count(table.filter(_.status != "abstain")) for table in (grades, again)]
    dropped["graded pair: of train, only from such a session"] = max(usable[0] - usable[1], 0)
    return kept, again


def check_sessions(facts: Facts, evidence: ibis.Table, assigned: ibis.Table) -> None:
    """Fail the build rather than train on a session that is tested.

    Raises:
        LeakError: a row of evidence for a train query comes from a session with a test query.
    """
    split = assigned.select("query_key", "split")
    asked = facts.retrievals.filter(_.session_id.notnull()).join(split, "query_key")
    tested = asked.filter(_.split == "test").select("session_id").distinct()
    used = evidence.join(split, "query_key").filter((_.split == "train") & _.session_id.notnull())
    leaks = facts.engine.count(used.join(tested, "session_id"))
    if leaks:
        raise LeakError(
            f"{leaks} rows of evidence for train come from sessions with a test query. Nothing was written; "
            f"please report this."
        )
