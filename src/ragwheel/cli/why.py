"""``ragwheel show --why QUERY CHUNK``: the verdict on a chunk, and what it rests on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.text import Text

from ragwheel.cli import screen
from ragwheel.cli.options import name_as_typed

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from ragwheel.labels import GradeExplanation, Reason

__all__ = ["as_json", "print_verdicts"]

_MOST = 3
"""Lines of one kind of evidence; the rest is counted."""
_DIRECTIONS = {1: Text("for", "green"), -1: Text("against", "red"), 0: Text("is", "bold")}


def print_verdicts(console: Console, verdicts: list[GradeExplanation], db: Path) -> None:
    """Print every version's verdict as the sum of what speaks for and against it."""
    for verdict in verdicts:
        title = f"chunk {verdict.chunk_id}"
        screen.heading(console, title, f"{verdict.source}, version {verdict.version}")
        console.print(screen.facts([("query", verdict.query), ("verdict", _verdict(verdict))]))
        console.print()
        console.print(screen.indented(_evidence(verdict)))
    console.print()
    console.print(screen.facts([("weights", line) for line in _weights(verdicts[0])]))
    spans = [reason.span_ids[0] for reason in verdicts[0].reasons if reason.span_ids]
    if spans:
        screen.next_command(
            console, f"ragwheel show --db {name_as_typed(db)} {spans[0]}", "where the first of it happened"
        )


def as_json(verdicts: list[GradeExplanation]) -> list[dict[str, Any]]:
    """Plain objects, with what was learned and estimated as the manifest says it."""
    plain = (
        "query",
        "source",
        "chunk_id",
        "version",
        "status",
        "grade",
        "belief",
        "confidence",
        "strategy",
        "note",
        "prior",
        "log_odds",
        "corrections",
        "lent",
    )
    return [
        {name: getattr(verdict, name) for name in plain}
        | {"reasons": list(verdict.reasons)}
        | {
            "model": verdict.model.describe(),
            "examination": verdict.examination.as_dict() if verdict.examination else {},
        }
        for verdict in verdicts
    ]


def _verdict(verdict: GradeExplanation) -> str:
    if verdict.status == "abstain":
        return f"abstains: {verdict.note} (grade {verdict.grade:.1f} if it had to say)"
    named = f" ({verdict.strategy})" if verdict.strategy else ""
    return f"{verdict.status}{named}, grade {verdict.grade:.1f}, {verdict.confidence:.0%} sure"


def _evidence(verdict: GradeExplanation) -> Table:
    """Return the sum: the prior, each kind of evidence, corrections, and what they add up to."""
    table = screen.columns(
        "", "evidence", "times", "by", "rank", "exposure", "log-odds",
        right=("times", "by", "rank", "log-odds"), folded=("evidence",),
    )  # fmt: skip
    by_person = any(reason.kind == "judged_human" for reason in verdict.reasons)
    if not by_person:
        table.add_row("", "before any evidence, at this rank", "", "", "", "", f"{verdict.prior:+.2f}")
    for reason in sorted(verdict.reasons, key=lambda reason: -abs(reason.log_odds)):
        _add(table, reason)
    if not by_person:
        for label, value in verdict.corrections_in_words.items():
            table.add_row("", Text(label, "dim"), "", "", "", "", f"{value:+.2f}")
        if verdict.lent:
            table.add_row("", "from questions with the same results", "", "", "", "", f"{verdict.lent:+.2f}")
        belief = f"together: believed with {verdict.belief:.0%}"
        table.add_row("", Text(belief, "bold"), "", "", "", "", f"{verdict.log_odds:+.2f}")
    return table


def _add(table: Table, reason: Reason) -> None:
    """Add a line for each way in which the chunk stood, the most frequent first."""
    says = reason.text if reason.direction == 0 else reason.description
    for number, seen in enumerate(reason.seen[:_MOST]):
        exposure = (seen.exposure or "") + ("?" if seen.assumed else "")
        table.add_row(
            _DIRECTIONS[reason.direction] if number == 0 else "",
            Text(screen.clean(says)) if number == 0 else "",
            f"{seen.n:,}",
            f"{reason.subjects:,}" if number == 0 else "",
            "" if seen.rank is None else str(seen.rank),
            exposure,
            "decides" if reason.kind == "judged_human" else f"{seen.log_odds:+.2f}",
        )
    hidden = reason.seen[_MOST:]
    if hidden:
        rest = f"{sum(seen.log_odds for seen in hidden):+.2f}"
        elsewhere = Text("elsewhere", "dim")
        table.add_row("", elsewhere, f"{sum(seen.n for seen in hidden):,}", "", "", "", rest)


def _weights(verdict: GradeExplanation) -> list[str]:
    """Return which weights were learned from this store, and which found to say little."""
    model = verdict.model
    learned = ", ".join(model.learned)
    lines = [
        f"learned from this store: {learned}; the others are the policy's"
        if learned
        else "the policy's; this store cannot tell yet how often each instrument is right"
    ]
    if model.weak:
        lines.append(f"found to say little: {', '.join(model.weak)}")
    return lines
