"""``ragwheel show --why QUERY CHUNK``: the verdict on a chunk, and what it rests on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.text import Text

from ragwheel.cli import screen

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from ragwheel.labels import Reason, Verdict
    from ragwheel.labels.position import Examination

__all__ = ["as_json", "print_verdicts"]

_MOST = 3
"""Lines of one kind of evidence; the rest is counted."""
_DIRECTIONS = {1: Text("for", "green"), -1: Text("against", "red"), 0: Text("is", "bold")}


def print_verdicts(console: Console, verdicts: list[Verdict], db: Path) -> None:
    """Every version's verdict with its evidence, then what attention was divided by."""
    for verdict in verdicts:
        title = f"chunk {verdict.chunk_id}"
        screen.heading(console, title, f"{verdict.source}, version {verdict.chunk_version}")
        console.print(screen.facts([("query", verdict.query), ("verdict", _verdict(verdict))]))
        console.print()
        console.print(screen.indented(_evidence(verdict)))
    attention = _attention(verdicts)
    if attention:
        console.print()
        console.print(screen.facts(attention))
    spans = [reason.span_ids[0] for reason in verdicts[0].reasons if reason.span_ids]
    if spans:
        screen.next_command(console, f"ragwheel show --db {db} {spans[0]}", "where the first of it happened")


def as_json(verdicts: list[Verdict]) -> list[dict[str, Any]]:
    """Plain objects, with what was learned and estimated as the manifest says it."""
    plain = (
        "query",
        "source",
        "chunk_id",
        "chunk_version",
        "status",
        "grade",
        "confidence",
        "strategy",
        "note",
    )
    return [
        {name: getattr(verdict, name) for name in plain}
        | {"reasons": list(verdict.reasons)}
        | {"trust": verdict.trust.says(), "examination": verdict.examination.says()}
        for verdict in verdicts
    ]


def _verdict(verdict: Verdict) -> str:
    if verdict.status == "abstain":
        return f"abstains: {verdict.note} (grade {verdict.grade:.1f} if it had to say)"
    named = f" ({verdict.strategy})" if verdict.strategy else ""
    return f"{verdict.status}{named}, grade {verdict.grade:.1f}, {verdict.confidence:.0%} sure"


def _evidence(verdict: Verdict) -> Table:
    table = screen.columns(
        "", "evidence", "times", "by", "rank", "exposure", "attention", "weight",
        right=("times", "by", "rank", "attention", "weight"), wide=("evidence",),
    )  # fmt: skip
    for reason in verdict.reasons:
        _add(table, reason)
    return table


def _add(table: Table, reason: Reason) -> None:
    """A line for each way in which the chunk stood, the most frequent first."""
    says = reason.text if reason.direction == 0 else reason.says
    for place, seen in enumerate(reason.seen[:_MOST]):
        exposure = (seen.exposure or "") + ("?" if seen.assumed and seen.exposure == "prompted" else "")
        table.add_row(
            _DIRECTIONS[reason.direction] if place == 0 else "",
            Text(screen.clean(says)) if place == 0 else "",
            f"{seen.n:,}",
            f"{reason.subjects:,}" if place == 0 else "",
            "" if seen.rank is None else str(seen.rank),
            exposure,
            {"": "-", "label model": "learned"}.get(seen.model, f"{seen.attention:.2f}"),
            "" if seen.weight is None else f"{seen.weight:+.2f}",
        )
    hidden = reason.seen[_MOST:]
    if hidden:
        elsewhere = Text("elsewhere", "dim")
        table.add_row("", elsewhere, f"{sum(seen.n for seen in hidden):,}", *[""] * 5)


def _attention(verdicts: list[Verdict]) -> list[tuple[str, Text | str]]:
    """Which model the values of the column come from; nothing where none was used."""
    models = {seen.model for verdict in verdicts for reason in verdict.reasons for seen in reason.seen}
    lines: list[str] = []
    if "label model" in models:
        channels = ", ".join(sorted(verdicts[0].trust.learned))
        lines.append(f"learned: the label model weighs {channels} by rank as the traces taught it")
    if models - {"", "label model"}:
        lines.append(_model(verdicts[0].examination))
    return [("attention" if n == 0 else "", line) for n, line in enumerate(lines)]


def _model(examination: Examination) -> str:
    if not examination.usable:
        return f"the policy's curve; nothing was estimated ({examination.why_not})"
    return (
        f"{examination.method}, estimated to rank {len(examination.theta)} from "
        f"{examination.clicks:,} clicks on {examination.queries:,} queries"
    )
