"""The sections on results: evaluations, experiments, models, cost and time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ragwheel.evaluate.table import figure, gap
from ragwheel.report.blocks import Block, Missing, Note, Points, Section, Table, Tiles
from ragwheel.report.charts import forest
from ragwheel.report.inputs import ReportInputs

__all__ = ["cost", "experiments", "models", "results", "summary"]

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


def summary(inputs: ReportInputs) -> Section:
    """Summarise the report in three sentences: the state, what is proved, and the next step."""
    lines: list[str] = []
    if inputs.status is not None:
        ahead = inputs.status.next_milestone
        lines.append(
            f"{inputs.status.examples:,} training examples from {inputs.status.retrievals:,} retrievals; "
            + (
                f"{ahead.missing:,} more until the milestone {ahead.name}."
                if ahead
                else "every milestone is reached."
            )
        )
    lines.append(_proved(inputs))
    if inputs.roadmap is not None:
        first = inputs.roadmap.steps[0]
        lines.append(f"What promises most for the least: {first.name} ({first.measured}).")
    elif inputs.dataset is None:
        lines.append("Without a dataset most of this page is empty: the sections say what to type.")
    return Section("short", "In short", (Points(lines),))


def _proved(inputs: ReportInputs) -> str:
    gaps = [
        (
            row["compared"]["difference"],
            (
                f"{row['system']} is better than {evaluation['reference']} by {_gap_of(row)} "
                f"{evaluation['measure']}"
            ),
        )
        for _, evaluation in inputs.evaluations
        for row in evaluation["table"]
        if row["slice"] == "all" and row["compared"] and row["compared"]["verdict"] == "better"
    ]
    if gaps:
        return f"Proved: {max(gaps)[1]}."
    if inputs.interleaving is not None and inputs.interleaving.winner is not None:
        return f"Proved live: {inputs.interleaving.verdict}."
    return (
        "Nothing is proved to be better than what runs today."
        if inputs.evaluations
        else "Nothing has been measured on held-out questions yet."
    )


def _gap_of(row: Mapping[str, Any]) -> str:
    compared = row["compared"]
    return gap(compared["low"], compared["difference"], compared["high"])


def results(inputs: ReportInputs) -> Section:
    """Before and after, with intervals."""
    title = "Before and after"
    blocks: list[Block] = []
    for index, (_, evaluation) in enumerate(inputs.evaluations):
        blocks += _evaluation(evaluation, index)
    if inputs.interleaving is not None:
        interleaving = inputs.interleaving
        facts = (
            ("interleaved turns", f"{interleaving.served:,}"),
            ("new ahead", f"{interleaving.wins:,}"),
            ("old ahead", f"{interleaving.losses:,}"),
            ("level", f"{interleaving.ties:,}"),
        )
        blocks += [
            Tiles(facts),
            Note(f"Live, by interleaving ({interleaving.name}): {interleaving.verdict}."),
        ]
    if not blocks:
        blocks.append(
            Missing(
                "Nothing has been measured yet. Evaluate, then name the folder with --evaluation:",
                f"ragwheel evaluate {inputs.dataset.folder if inputs.dataset else 'DATASET'} "
                f"--db {inputs.db} --out results",
            )
        )
    return Section("results", title, tuple(blocks))


def _evaluation(evaluation: Mapping[str, Any], index: int) -> list[Block]:
    """For each kind of label a forest of differences and a table for each slice."""
    measure, reference = str(evaluation["measure"]), str(evaluation["reference"])
    blocks: list[Block] = []
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in evaluation["table"]:
        groups.setdefault((str(row["labels"]), str(row["slice"])), []).append(row)
    for (labels, part), rows in groups.items():
        compared = [(str(row["system"]), row["compared"]) for row in rows if row["compared"]]
        queries = int(rows[0]["queries"])
        which = f"{_SLICES.get(part, part)}, {_LABELS.get(labels, labels)}"
        text = f"{evaluation['collection']['name']}: {queries:,} queries, {which}"
        if part == "all" and compared:
            blocks.append(
                forest(
                    f"gain-{index}-{labels}",
                    f"{text}. Difference in {measure} from {reference}, with 95 % intervals.",
                    [
                        (name, entry["difference"], entry["low"], entry["high"], entry["verdict"])
                        for name, entry in compared
                    ],
                )
            )
        heads = ("system", *_SHOWN, f"{measure} against {reference}", "verdict")
        table = [
            (row["system"], *(figure(row.get(measure)) for measure in _SHOWN), *_compared(row["compared"]))
            for row in rows
        ]
        blocks.append(Table(text, heads, table, tuple(range(1, len(_SHOWN) + 2))))
    return [*blocks, *(Note(str(note), quiet=True) for note in evaluation.get("notes", ()))]


def _compared(compared: Mapping[str, Any] | None) -> tuple[str, str]:
    if compared is None:
        return "", "what the others are compared with"
    text = f"{compared['verdict']}: {compared['why']}" if compared["why"] else str(compared["verdict"])
    return gap(compared["low"], compared["difference"], compared["high"]), text


def experiments(inputs: ReportInputs) -> Section:
    """List the experiments, with expectations and results."""
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
    for experiment in inputs.experiments:
        best = max(
            (r.gap for r in experiment.results if r.gap),
            key=lambda gap_of_result: gap_of_result.mean,
            default=None,
        )
        rows.append(
            (
                experiment.hypothesis if inputs.options.texts else experiment.id,
                experiment.change,
                f"{experiment.expect} {experiment.metric}",
                gap(best.low, best.mean, best.high) if best else "–",
                str(experiment.verdict) if experiment.verdict else experiment.status,
            )
        )
    heads = ("hypothesis", "change", "expected", "found", "verdict")
    note = Note(
        "Hypothesis and criterion were sealed before each run; failures stay in the list.", quiet=True
    )
    return Section("experiments", title, (Table("All experiments, oldest first", heads, rows, (3,)), note))


def models(inputs: ReportInputs) -> Section:
    """List the trained models, their data, and whether they are recommended."""
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
    """Show the cost in milliseconds, bytes and seconds."""
    title = "Cost and time"
    blocks: list[Block] = []
    if inputs.coverage is not None and inputs.status is not None:
        coverage = inputs.coverage
        facts = [("store", _bytes(coverage.store_bytes))]
        if coverage.median_ms is not None and coverage.slow_ms is not None:
            facts += [
                ("retrieval, median", f"{coverage.median_ms:,.1f} ms"),
                ("retrieval, 95th percentile", f"{coverage.slow_ms:,.1f} ms"),
            ]
        facts.append(("bytes a retrieval", f"{coverage.store_bytes / max(inputs.status.retrievals, 1):,.0f}"))
        blocks.append(Tiles(facts))
    rows = [
        (system["name"], system["cost"], f"{system['ms_per_query']:,.1f}")
        for _, evaluation in inputs.evaluations
        for system in evaluation["systems"]
    ]
    if rows:
        heads = ("system", "asks for", "ms a query, as measured")
        blocks.append(Table("What using a system asks for", heads, rows, (2,)))
    tried = [
        (
            f"{experiment.id}: {result.variant}",
            f"{result.elapsed_s:,.1f}",
            result.facts.get("words_at_10", "–"),
        )
        for experiment in inputs.experiments
        for result in experiment.results
        if not result.error
    ]
    if tried:
        heads = ("variant", "seconds to measure", "words in the first ten chunks")
        blocks.append(Table("Experiments", heads, tried, (1, 2)))
    if not blocks:
        blocks.append(Missing("Nothing is recorded yet, so nothing has cost anything.", "ragwheel demo"))
    return Section("cost", title, tuple(blocks))


def _flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            rows += _flat(value, f"{prefix}{name} / ")
        else:
            rows.append((prefix + name, f"{value:.4g}" if isinstance(value, float) else str(value)))
    return rows


def _bytes(n: int) -> str:
    size = float(n)
    for unit in ("bytes", "KB", "MB"):
        if size < 1000:
            return f"{size:,.0f} {unit}" if unit == "bytes" else f"{size:,.1f} {unit}"
        size /= 1000
    return f"{size:,.1f} GB"
