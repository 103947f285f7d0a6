"""The sections on recorded data and what can be learned from it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from ragwheel.datasets import BuiltDataset, explain
from ragwheel.errors import DatasetError
from ragwheel.report.blocks import Block, ExampleBlock, Missing, Note, ProgressBlock, Section, Table, Tiles
from ragwheel.report.charts import bars, histogram, line
from ragwheel.report.inputs import ReportInputs
from ragwheel.report.instruments import learned_blocks, reliability_blocks

__all__ = ["coverage", "curve", "failing", "grades", "milestones", "negatives", "next_steps", "trust"]

_RANKS: Final = 20
_QUESTIONS: Final = 3


def milestones(inputs: ReportInputs) -> Section:
    """Show the counts and the distance to the next milestone."""
    status = inputs.status
    blocks: list[Block] = []
    if status is None or not status.retrievals:
        why = (
            f"There is no database {inputs.db}." if status is None else f"{inputs.db} holds no retrieval yet."
        )
        blocks.append(Missing(f"{why} Configure ragwheel in the app, or try the demo:", "ragwheel demo"))
    if status is not None:
        blocks.append(
            Tiles(
                (
                    ("retrievals", f"{status.retrievals:,}"),
                    ("turns", f"{status.turns:,}"),
                    ("sessions", f"{status.sessions:,}"),
                    ("chunks", f"{status.chunks:,}"),
                    ("signals", f"{sum(status.signals.values()):,}"),
                    ("citations", f"{status.citations:,}"),
                    ("judgments", f"{status.judgments:,}"),
                    ("examples", f"{status.examples:,}"),
                )
            )
        )
        blocks.append(
            ProgressBlock(
                [
                    (milestone.name, milestone.have, milestone.need, milestone.purpose, milestone.advice)
                    for milestone in status.milestones
                ]
            )
        )
    return Section("milestones", "Milestones", tuple(blocks))


def coverage(inputs: ReportInputs) -> Section:
    """Show the share of traffic with evidence."""
    coverage, status_now = inputs.coverage, inputs.status
    if coverage is None or status_now is None:
        missing = Missing("Nothing is recorded yet, so there is nothing to cover.", "ragwheel status")
        return Section("coverage", "Signal coverage", (missing,))
    blocks: list[Block] = [
        bars(
            "coverage", "Share of retrievals and turns that carry each kind of context.", coverage.shares, "%"
        )
    ]
    kinds = [(kind, f"{n:,}") for kind, n in status_now.signals.items()]
    if kinds:
        blocks.append(Table("Signals by kind", ("kind", "signals"), kinds, (1,)))
    else:
        blocks.append(Missing("No signal has arrived. See what the app can send:", "ragwheel status"))
    lost = [(reason, f"{n:,}") for reason, n in status_now.signals_unmatched.items()]
    if lost:
        blocks.append(
            Table("Signals that match nothing, and are no evidence", ("reason", "signals"), lost, (1,))
        )
    return Section("coverage", "Signal coverage", tuple(blocks))


def curve(inputs: ReportInputs) -> Section:
    """Show the estimated examination of each rank."""
    title = "Who looks how far"
    if inputs.dataset is None:
        return Section("examination", title, (_no_dataset(inputs),))
    manifest = inputs.dataset.manifest
    estimate: dict[str, Any] = manifest.get("examination") or {}
    theta = estimate.get("theta", [])
    if estimate.get("identifiable") and len(theta) > 1:
        bounds = (estimate["low"], estimate["high"]) if "low" in estimate and "high" in estimate else None
        text = (
            f"Probability that a rank is looked at, for every time that the first one is: estimated "
            f"({estimate.get('method')}) from {estimate.get('clicks', 0):,} clicks on "
            f"{estimate.get('queries', 0):,} queries, with 95 % intervals."
        )
        return Section("examination", title, (line("examination", text, theta[:_RANKS], _first(bounds)),))
    rule = manifest.get("configuration", {}).get("policy", {}).get("examination", {})
    exponent, floor = float(rule.get("exponent", 0.5)), float(rule.get("floor", 0.5))
    values = [max(rank**-exponent, floor) for rank in range(1, 11)]
    text = (
        f"The policy's default, max(rank^-{exponent:g}, {floor:g}): evidence of attention is divided by "
        f"this. It is not estimated from your traffic."
    )
    why = str(estimate.get("why_not") or "")
    blocks: list[Block] = [line("examination", text, values, None)]
    if why:
        blocks.append(Note(f"Why there is no estimate: {why}", quiet=True))
    return Section("examination", title, tuple(blocks))


def grades(inputs: ReportInputs) -> Section:
    """Show the distributions of grades and confidences."""
    title = "Grades"
    if inputs.dataset is None:
        return Section("grades", title, (_no_dataset(inputs),))
    rows = inputs.dataset.provenance("pairs").select(["grade", "confidence"]).to_pylist()
    if not rows:
        return Section("grades", title, (_empty(inputs),))
    counts = inputs.dataset.manifest.get("grades", {})
    blocks: list[Block] = [
        histogram(
            "grades",
            f"Grades of {len(rows):,} query and chunk pairs: 5 fully answers, 0 is irrelevant.",
            [row["grade"] for row in rows],
            [index / 2 for index in range(11)],
            "grade",
        ),
        histogram(
            "confidence",
            "How sure those grades are. Training rows carry it as their weight.",
            [row["confidence"] for row in rows],
            [index / 10 for index in range(11)],
            "confidence",
        ),
    ]
    if counts:
        table = [(name, f"{n:,}") for name, n in counts.items()]
        blocks.append(Table("What the policy decided", ("decision", "query and chunk pairs"), table, (1,)))
    return Section("grades", title, tuple(blocks))


def trust(inputs: ReportInputs) -> Section:
    """Return which kinds of evidence there are, what was learned of each, and whether beliefs are right."""
    title = "Evidence and how far it is trusted"
    if inputs.dataset is None:
        return Section("trust", title, (_no_dataset(inputs),))
    manifest = inputs.dataset.manifest
    counts = manifest.get("evidence", {})
    blocks: list[Block] = []
    if counts:
        ordered = sorted(counts.items(), key=lambda item: -item[1])
        blocks.append(
            bars(
                "evidence",
                "Pieces of evidence by kind.",
                [(kind.replace("_", " "), n) for kind, n in ordered],
            )
        )
    blocks += learned_blocks(manifest.get("trust") or {})
    blocks += reliability_blocks(manifest.get("reliability") or {}, inputs.db)
    return Section("trust", title, tuple(blocks))


def negatives(inputs: ReportInputs) -> Section:
    """Show the negatives by strategy, examples, and what was left out."""
    title = "Hard negatives"
    if inputs.dataset is None:
        return Section("negatives", title, (_no_dataset(inputs),))
    manifest = inputs.dataset.manifest
    counts: dict[str, int] = manifest.get("negatives", {})
    if not counts:
        return Section("negatives", title, (_empty(inputs),))
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    blocks: list[Block] = [
        bars(
            "negatives", "Usable negatives by strategy.", [(kind.replace("_", " "), n) for kind, n in ordered]
        )
    ]
    if inputs.options.texts:
        blocks += _triplets(inputs.dataset, inputs.options.examples)
    else:
        blocks.append(Note("Examples are left out: this report was made without texts.", quiet=True))
    dropped = [(rule, f"{n:,}") for rule, n in manifest.get("dropped", {}).items()]
    if dropped:
        blocks.append(Table("What was left out, and why", ("rule", "times"), dropped, (1,)))
    return Section("negatives", title, tuple(blocks))


def failing(inputs: ReportInputs) -> Section:
    """Show failing queries by topic."""
    title = "Where retrieval fails"
    roadmap = inputs.roadmap
    if roadmap is None or not roadmap.headroom.queries:
        return Section("failing", title, (_no_dataset(inputs),))
    head = roadmap.headroom
    blocks: list[Block] = [
        Tiles(
            (
                ("recall@5", f"{head.recall:.3f}"),
                ("nDCG@10", f"{head.ndcg:.3f}"),
                (
                    "questions without a positive",
                    f"{head.unanswered / head.asked:.0%}" if head.asked else "–",
                ),
                ("no positive in the first five", f"{sum(head.failing):,} of {head.queries:,}"),
            )
        )
    ]
    worst = [segment for segment in roadmap.segments if segment.failing]
    if worst:
        rows = []
        for index, query in enumerate(worst, 1):
            asked = [head.texts[member] for member in query.members if head.failing[member]]
            shown = " · ".join(asked[:_QUESTIONS])
            name = query.name if inputs.options.texts else f"group {index}"
            rows.append(
                (
                    name,
                    f"{query.failing:,}",
                    f"{len(query.members):,}",
                    shown if inputs.options.texts else "–",
                )
            )
        heads = ("questions about", "failing", "of", "for example")
        blocks.append(Table("Groups of questions, the most failures first", heads, rows, (1, 2)))
    blocks += [Note(note, quiet=True) for note in roadmap.notes]
    return Section("failing", title, tuple(blocks))


def next_steps(inputs: ReportInputs) -> Section:
    """Show the roadmap of next steps."""
    title = "What to try next"
    if inputs.roadmap is None:
        return Section("next", title, (_no_dataset(inputs),))
    says = {
        "do first": "high impact, low effort",
        "plan": "high impact, high effort",
        "fill in": "low impact, low effort",
        "leave": "low impact, high effort",
    }
    blocks: list[Block] = []
    for quadrant, meaning in says.items():
        steps = [step for step in inputs.roadmap.steps if step.quadrant == quadrant]
        if steps:
            rows = [
                (
                    step.name,
                    step.measured,
                    step.cost + (f". Needs {step.needs}" if step.needs else ""),
                    step.command,
                )
                for step in steps
            ]
            heads = ("step", "measured", "cost", "type")
            blocks.append(Table(f"{quadrant.capitalize()}: {meaning}", heads, rows, commands=(3,)))
    return Section("next", title, tuple(blocks))


def _triplets(dataset: BuiltDataset, n: int) -> Iterator[Block]:
    try:
        triplets = explain(dataset.folder, n)
    except DatasetError:
        return
    for triplet in triplets:
        yield ExampleBlock(
            triplet.strategy.replace("_", " "),
            triplet.anchor,
            (
                (f"positive, {triplet.confidence_positive:.0%} sure", triplet.positive, triplet.why_positive),
                (f"negative, {triplet.confidence_negative:.0%} sure", triplet.negative, triplet.why_negative),
            ),
        )


def _no_dataset(inputs: ReportInputs) -> Missing:
    return Missing(
        "There is no dataset yet. Build one from the traces:",
        f"ragwheel build --db {inputs.db} --out dataset",
    )


def _empty(inputs: ReportInputs) -> Missing:
    return Missing(
        "The dataset has no graded chunk of this kind. What is missing:", f"ragwheel status --db {inputs.db}"
    )


def _first(bounds: tuple[list[float], list[float]] | None) -> tuple[list[float], list[float]] | None:
    return (bounds[0][:_RANKS], bounds[1][:_RANKS]) if bounds is not None else None
