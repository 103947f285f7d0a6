"""What an LLM judge graded trains models and never tests them: it would be the judge of its own training.

Its grades of test questions are left out there. A question that nobody else said anything about goes to
train, where its grades are worth something, instead of standing empty in the test split. Judgments of an
imported
evaluation set are not touched: whoever imported it for test decided that.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace

import ibis
from ibis import _

from ragwheel.datasets.splits import Assignment
from ragwheel.labels.traces.exposure import Facts

__all__ = ["only_judged_are_trained", "without_judged_tests"]

Regrade = Callable[[ibis.Table], ibis.Table]


def only_judged_are_trained(
    facts: Facts, evidence: ibis.Table, grades: ibis.Table, regrade: Regrade, previous: Mapping[str, str]
) -> Mapping[str, str]:
    """``previous`` with the questions that only an LLM judge graded decided: train."""
    engine = facts.engine
    if not engine.count(evidence.filter(_by_llm(evidence))):
        return previous
    rest = engine.keep("evidence_unjudged", evidence.filter(~_by_llm(evidence)))
    graded = regrade(rest).filter(_.status != "abstain").select("query_key").distinct()
    every = grades.filter(_.status != "abstain").select("query_key").distinct()
    only = engine.arrow(every.anti_join(graded, "query_key").order_by("query_key"))
    assignment = previous if isinstance(previous, Assignment) else Assignment(previous)
    names = dict.fromkeys(only["query_key"].to_pylist(), "an LLM judge")
    return replace(assignment, trained={**names, **assignment.trained})


def without_judged_tests(
    facts: Facts,
    evidence: ibis.Table,
    grades: ibis.Table,
    assigned: ibis.Table,
    regrade: Regrade,
    dropped: Counter[str],
) -> tuple[ibis.Table, ibis.Table]:
    """Evidence and grades without what an LLM judge said of test questions, which is counted."""
    engine = facts.engine
    tested = assigned.filter(_.split == "test").select("query_key").mutate(tested=True)
    marked = evidence.left_join(tested, "query_key").drop("query_key_right")
    out = marked.tested.fill_null(False) & _by_llm(marked)
    n = engine.count(marked.filter(out))
    if not n:
        return evidence, grades
    dropped["evidence: of test, by an LLM judge"] = n
    kept = engine.keep("evidence_tested", marked.filter(~out).drop("tested"))
    return kept, engine.keep("grades_tested", regrade(kept))


def _by_llm(evidence: ibis.Table) -> ibis.Value:
    imported = evidence.subject.fill_null("").startswith("evalset:")
    return (evidence.kind == "judged_llm") & ~imported
