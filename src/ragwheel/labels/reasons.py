"""Why a grade is what it is, in words, with the spans that it came from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import ibis
from ibis import _

from ragwheel.labels.evidence.kinds import KINDS

__all__ = ["EvidenceCount", "Reason", "reason_of", "reason_rows"]

_EXAMPLES: Final = 3


@dataclass(frozen=True)
class EvidenceCount:
    """How far a chunk got when evidence of one kind arose, and what that says.

    Attributes:
        n: pieces of evidence that this holds for.
        rank: of the chunk in its ranking; None where the evidence has none.
        exposure: ``shown``, ``prompted``, …; None where the evidence has none.
        assumed: the app did not say so; an answer followed, or something was returned.
        weight: the log-likelihood ratio of one such piece at full strength.
        log_odds: what all of them together say before repeats and caps.
    """

    n: int
    rank: int | None
    exposure: str | None
    assumed: bool
    weight: float
    log_odds: float


@dataclass(frozen=True)
class Reason:
    """One kind of evidence for or against a chunk: how often, from how many subjects, up to three examples.

    ``text`` says it in words. The ids are those of the views; ``span_ids`` all of them together. ``seen``, of
    verdicts only, says for all of it how the chunk stood, the most frequent first.
    """

    kind: str
    direction: int
    n: int
    subjects: int
    text: str
    retrieval_ids: tuple[str, ...]
    turn_ids: tuple[str, ...]
    signal_ids: tuple[str, ...]
    seen: tuple[EvidenceCount, ...] = ()

    @property
    def log_odds(self) -> float:
        """What all of it says together, before repeats and caps."""
        return sum(seen.log_odds for seen in self.seen)

    @property
    def description(self) -> str:
        """What was done or said, in words."""
        return KINDS[self.kind].description

    @property
    def span_ids(self) -> tuple[str, ...]:
        """Every span behind the examples, each once."""
        return tuple(dict.fromkeys((*self.signal_ids, *self.retrieval_ids, *self.turn_ids)))


def reason_rows(evidence: ibis.Table) -> ibis.Table:
    """The first examples of every (query group, chunk version, kind), with the counts of all, a row each.

    ``place`` orders the rows of one kind.
    """
    group = ["query_key", "chunk_version", "kind"]
    counts = evidence.group_by(group).agg(n=_.count(), subjects=_.subject.nunique())
    order = [
        evidence[name]
        for name in ("at_ns", "retrieval_id", "rank", "turn_id", "signal_id", "extra_id", "subject")
    ]
    place = ibis.row_number().over(group_by=[evidence[name] for name in group], order_by=order)
    first = evidence.mutate(place=place).filter(_.place < _EXAMPLES)
    return first.join(counts, group).select(
        *group, "place", "n", "subjects", "direction", "strength", "rank",
        "assumed", "subject", "turn_id",
        "retrieval_id", "signal_id", "extra_id",
    )  # fmt: skip


def reason_of(rows: Iterable[Mapping[str, Any]], seen: Iterable[EvidenceCount] = ()) -> Reason:
    """The reason that rows of one (query group, chunk version, kind) give, in their ``place`` order."""
    examples = list(rows)
    head = examples[0]
    kind, n, subjects = str(head["kind"]), int(head["n"]), int(head["subjects"])
    return Reason(
        kind=kind,
        direction=int(head["direction"]),
        n=n,
        subjects=subjects,
        text=_sentence(kind, n, subjects, examples),
        retrieval_ids=_ids(examples, "retrieval_id"),
        turn_ids=_ids(examples, "turn_id"),
        signal_ids=(*_ids(examples, "signal_id"), *_ids(examples, "extra_id")),
        seen=tuple(seen),
    )


def _ids(rows: list[Mapping[str, Any]], column: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(str(row[column]) for row in rows if row[column] is not None))


def _sentence(kind: str, n: int, subjects: int, rows: list[Mapping[str, Any]]) -> str:
    description = KINDS[kind].description
    if KINDS[kind].direction == 0:
        grades = ", ".join(f"{row['strength']:g} by {row['subject']}" for row in rows)
        return f"{description}: {grades}"
    times = "once" if n == 1 else f"{n} times, by {subjects} {'subject' if subjects == 1 else 'subjects'}"
    ranks = sorted({int(row["rank"]) for row in rows if row["rank"] is not None})
    where = f" at rank {', '.join(map(str, ranks))}" if ranks else ""
    assumed = (
        " (exposure assumed)" if kind in ("prompted_not_cited", "passed_over") and rows[0]["assumed"] else ""
    )
    return f"{description} {times}{where}{assumed}"
