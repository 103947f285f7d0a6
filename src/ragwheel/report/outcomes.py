"""The sections about what came of it: evaluations, experiments, models, cost and time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ragwheel.evaluate.table import figure, gap
from ragwheel.report.blocks import Block, Missing, Note, Points, Section, Table, Tiles
from ragwheel.report.charts import forest
from ragwheel.report.inputs import ReportInputs

__all__ = ["cost", "experiments", "models", "results", "short"]

_LABELS: Final = {
    "explicit": "explicit judgments",
    "evalset": "an evaluation set",
    "inferred": "labels inferred from clicks and citations",
}
_SLICES: Final = {
    "all": "all questions",
    "seen": "answers seen in training",
    "unseen": "answers not seen in training",
}
_SHOWN: Final = ("nDCG@10", "MRR@10", "recall@5", "recall@10", "recall@40")


def short(inputs: ReportInputs) -> Section:
    """The page in three sentences: where it stands, what is proved, what to do now."""
    told: list[str] = []
    if inputs.status is not None:
        ahead = inputs.status.next_milestone
        told.append(
            f"{inputs.status.examples:,} training examples from {inputs.status.retrievals:,} retrievals; "
            + (
                f"{ahead.missing:,} more until the milestone {ahead.name}."
                if ahead
                else "every milestone is reached."
            )
        )
    told.append(_proved(inputs))
    if inputs.roadmap is not None:
        first = inputs.roadmap.steps[0]
        told.append(f"What promises most for the least: {first.name} ({first.measured}).")
    elif inputs.dataset is None:
        told.append("Without a dataset most of this page is empty: the sections say what to type.")
    return Section("short", "In short", (Points(told),))


def _proved(inputs: ReportInputs) -> str:
    found = [
        (
            row["compared"]["difference"],
            f"{row['system']} is better than {one['reference']} by {_gap_of(row)} {one['measure']}",
        )
        for _, one in inputs.evaluations
        for row in one["table"]
        if row["slice"] == "all" and row["compared"] and row["compared"]["verdict"] == "better"
    ]
    if found:
        return f"Proved: {max(found)[1]}."
    if inputs.interleaving is not None and inputs.interleaving.winner is not None:
        return f"Proved live: {inputs.interleaving.verdict}."
    return (
        "Nothing is proved to be better than what runs today."
        if inputs.evaluations
        else "Nothing has been measured on held-out questions yet."
    )


def _gap_of(row: Mapping[str, Any]) -> str:
    one = row["compared"]
    return gap(one["low"], one["difference"], one["high"])


def results(inputs: ReportInputs) -> Section:
    """Before and after, with intervals."""
    title = "Before and after"
    blocks: list[Block] = []
    for place, (_, found) in enumerate(inputs.evaluations):
        blocks += _evaluation(found, place)
    if inputs.interleaving is not None:
        one = inputs.interleaving
        facts = (
            ("interleaved turns", f"{one.served:,}"),
            ("new ahead", f"{one.wins:,}"),
            ("old ahead", f"{one.losses:,}"),
            ("level", f"{one.ties:,}"),
        )
        blocks += [Tiles(facts), Note(f"Live, by interleaving ({one.name}): {one.verdict}.")]
    if not blocks:
        blocks.append(
            Missing(
                "Nothing has been measured yet. Evaluate, then name the folder with --evaluation:",
                f"ragwheel evaluate --dataset {inputs.dataset.folder if inputs.dataset else 'DATASET'} "
                f"--db {inputs.db} --out results",
            )
        )
    return Section("results", title, tuple(blocks))


def _evaluation(found: Mapping[str, Any], place: int) -> list[Block]:
    """For each kind of label a forest of differences and a table for each slice."""
    measure, reference = str(found["measure"]), str(found["reference"])
    blocks: list[Block] = []
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in found["table"]:
        groups.setdefault((str(row["labels"]), str(row["slice"])), []).append(row)
    for (labels, part), rows in groups.items():
        compared = [(str(row["system"]), row["compared"]) for row in rows if row["compared"]]
        queries = int(rows[0]["queries"])
        which = f"{_SLICES.get(part, part)}, {_LABELS.get(labels, labels)}"
        said = f"{found['collection']['name']}: {queries:,} queries, {which}"
        if part == "all" and compared:
            blocks.append(
                forest(
                    f"gain-{place}-{labels}",
                    f"{said}. Difference in {measure} from {reference}, with 95 % intervals.",
                    [
                        (name, one["difference"], one["low"], one["high"], one["verdict"])
                        for name, one in compared
                    ],
                )
            )
        heads = ("system", *_SHOWN, f"{measure} against {reference}", "verdict")
        table = [
            (row["system"], *(figure(row.get(one)) for one in _SHOWN), *_compared(row["compared"]))
            for row in rows
        ]
        blocks.append(Table(said, heads, table, tuple(range(1, len(_SHOWN) + 2))))
    return [*blocks, *(Note(str(note), quiet=True) for note in found.get("notes", ()))]


def _compared(one: Mapping[str, Any] | None) -> tuple[str, str]:
    if one is None:
        return "", "what the others are compared with"
    told = f"{one['verdict']}: {one['why']}" if one["why"] else str(one["verdict"])
    return gap(one["low"], one["difference"], one["high"]), told


def experiments(inputs: ReportInputs) -> Section:
    """What was expected and what came out, good or bad."""
    title = "Experiments"
    if not inputs.experiments:
        command = (
            "ragwheel experiment new --hypothesis 'users type exact names' --change retriever=hybrid "
            "--metric recall@10 --expect +5%"
        )
        missing = Missing(
            "No experiment is in this report. Write an expectation down before the run:", command
        )
        return Section("experiments", title, (missing,))
    rows = []
    for one in inputs.experiments:
        best = max((r.gap for r in one.results if r.gap), key=lambda found: found.mean, default=None)
        rows.append(
            (
                one.hypothesis if inputs.options.texts else one.id,
                one.change,
                f"{one.expect} {one.metric}",
                gap(best.low, best.mean, best.high) if best else "–",
                str(one.verdict) if one.verdict else one.status,
            )
        )
    heads = ("hypothesis", "change", "expected", "found", "verdict")
    note = Note(
        "Hypothesis and criterion were sealed before each run; failures stay in the list.", quiet=True
    )
    return Section("experiments", title, (Table("All experiments, oldest first", heads, rows, (3,)), note))


def models(inputs: ReportInputs) -> Section:
    """What was trained, from what, and whether to use it."""
    title = "Models"
    if not inputs.models:
        folder = inputs.dataset.folder if inputs.dataset is not None else "dataset"
        command = f"ragwheel train adapter {folder} --out models/adapter --db {inputs.db}"
        return Section("models", title, (Missing("No model has been trained. The cheapest first:", command),))
    rows = [
        (
            path.name,
            facts.kind,
            facts.base,
            facts.base_licence,
            f"{facts.traces:,}",
            f"{facts.subjects.count:,}",
            "yes" if facts.recommended else "no: worse than its base",
        )
        for path, facts in inputs.models
    ]
    heads = ("model", "kind", "base", "licence", "traces", "people", "recommended")
    blocks: list[Block] = [Table("Trained models", heads, rows, (4, 5))]
    for path, facts in inputs.models:
        figures = _flat(facts.figures)
        if figures:
            blocks.append(Table(f"{path.name}: figures of its training", ("figure", "value"), figures, (1,)))
    return Section("models", title, tuple(blocks))


def cost(inputs: ReportInputs) -> Section:
    """What the wheel takes: milliseconds, bytes, seconds."""
    title = "Cost and time"
    blocks: list[Block] = []
    if inputs.coverage is not None and inputs.status is not None:
        found = inputs.coverage
        facts = [("store", _bytes(found.store_bytes))]
        if found.median_ms is not None and found.slow_ms is not None:
            facts += [
                ("retrieval, median", f"{found.median_ms:,.1f} ms"),
                ("retrieval, 95th percentile", f"{found.slow_ms:,.1f} ms"),
            ]
        facts.append(("bytes a retrieval", f"{found.store_bytes / max(inputs.status.retrievals, 1):,.0f}"))
        blocks.append(Tiles(facts))
    rows = [
        (one["name"], one["cost"], f"{one['ms_per_query']:,.1f}")
        for _, found in inputs.evaluations
        for one in found["systems"]
    ]
    if rows:
        heads = ("system", "asks for", "ms a query, as measured")
        blocks.append(Table("What using a system asks for", heads, rows, (2,)))
    tried = [
        (f"{one.id}: {result.variant}", f"{result.elapsed_s:,.1f}", result.facts.get("words_at_10", "–"))
        for one in inputs.experiments
        for result in one.results
        if not result.error
    ]
    if tried:
        heads = ("variant", "seconds to measure", "words in the first ten chunks")
        blocks.append(Table("Experiments", heads, tried, (1, 2)))
    if not blocks:
        blocks.append(Missing("Nothing is recorded yet, so nothing has cost anything.", "ragwheel demo"))
    return Section("cost", title, tuple(blocks))


def _flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            found += _flat(value, f"{prefix}{name} / ")
        else:
            found.append((prefix + name, f"{value:.4g}" if isinstance(value, float) else str(value)))
    return found


def _bytes(n: int) -> str:
    size = float(n)
    for unit in ("bytes", "KB", "MB"):
        if size < 1000:
            return f"{size:,.0f} {unit}" if unit == "bytes" else f"{size:,.1f} {unit}"
        size /= 1000
    return f"{size:,.1f} GB"
