"""Traces in, dataset folder out."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

import pyarrow.parquet as pq

from ragwheel.datasets.assemble import UseCaps, planned_rows
from ragwheel.datasets.chunk_pairs import chunk_pairs
from ragwheel.datasets.describe import write_card, write_manifest
from ragwheel.datasets.examples import count_questions
from ragwheel.datasets.formats import OTHERS, write_formats
from ragwheel.datasets.grading import Inputs, label
from ragwheel.datasets.labelled import Labelled
from ragwheel.datasets.options import SPLITS, BuildOptions, BuildReport
from ragwheel.datasets.parts import part_name
from ragwheel.datasets.plans import RowRules, planned
from ragwheel.datasets.splits import MIN_FAMILIES, Assignment, evalset_keys, load_assignment
from ragwheel.datasets.writer import RowWriter, check_target, schemas
from ragwheel.datasets.written import RowTarget, WrittenRows, write_lines_of, write_parts
from ragwheel.errors import DatasetError
from ragwheel.files import replace_folder
from ragwheel.labels.engines.engine import open_engine
from ragwheel.labels.model.wording import model_warnings
from ragwheel.labels.negatives import Encoder
from ragwheel.labels.policy import Policy, load_policy
from ragwheel.labels.traces.lake import is_traces
from ragwheel.labels.traces.read_source import open_source
from ragwheel.store.artifacts import register_artifact
from ragwheel.store.unreadable import not_counted
from ragwheel.typing import Progress

__all__ = ["build"]

_STAGES: Final = ("read", "exposure", "evidence", "grades", "splits", "rows", "write")
_EVERY: Final = 50


def build(
    db: str | Path,
    out: str | Path,
    *,
    options: BuildOptions | None = None,
    progress: Progress | None = None,
    encoder: Encoder | None = None,
) -> BuildReport:
    """Build triplets, graded pairs and lists from a store.

    Args:
        db: the database that :func:`ragwheel.configure` was given, or a folder or URL that
            :func:`ragwheel.exporting.export_parquet` wrote, which gives the same rows.
        out: a new folder, or that of an earlier build, which is replaced and whose splits stay.
        options: see :class:`BuildOptions`.
        progress: called as the build goes on; what it raises ends the build, and nothing is left behind.
        encoder: texts to unit-length vectors, (n, d) float32: mines negatives instead of BM25.

    Returns:
        What was kept, and what was left out by which rule.

    Raises:
        StoreError: the database cannot be read.
        ConfigurationError: the policy or an option cannot be used.
        DatasetError: ``out`` is something else, or no row can be made; says what is missing.
        LeakError: a split would share what it must not.
    """
    options, out = options or BuildOptions(), Path(out)
    policy = load_policy(options.policy)
    rebuilt = check_target(out)
    sticky = Path(options.sticky_from) if options.sticky_from else out if rebuilt else None
    previous: Mapping[str, str] = load_assignment(sticky) if sticky else {}
    clock = _Clock(progress)
    with (
        open_source(db) as source,
        open_engine(options.engine, memory_limit=options.memory_limit, threads=options.threads) as engine,
    ):
        decided = Assignment(previous, *evalset_keys(source.evalsets()))
        labelled = label(Inputs(source, engine, policy, options, decided, clock.stage))
        unreadable = source.unreadable()
        for each in unreadable:
            labelled.dropped[f"retrieval: its result could not be read, {each.source}"] += each.retrievals
        labelled.encoder = encoder
        if not any(labelled.splits.groups().values()):
            raise DatasetError(_nothing(db, labelled, not_counted(unreadable)))
        with replace_folder(out) as folder:
            negatives = options.negatives if "st-ntuple" in options.formats else None
            rules = RowRules(policy, negatives, options.seed, labelled.strikes)
            rows = _write_rows(folder, labelled, rules, options, decided, clock)
            if not sum(rows.counts["pairs"].values()):
                raise DatasetError(_nothing(db, labelled, not_counted(unreadable)))
            clock.stage("write")
            _write_splits(folder, labelled, previous)
            write_formats(folder, folder / "exports", [name for name in OTHERS if name in options.formats])
            report = _report(out, labelled, rows, sticky, clock)
            report = replace(report, warnings=(*report.warnings, *_label_warnings(db, labelled, policy)))
            if unreadable:
                report = replace(report, warnings=(not_counted(unreadable), *report.warnings))
            write_card(folder, labelled.tables, report)
            write_manifest(folder, source.database, labelled.tables, options, policy, report)
    if not is_traces(db):
        register_artifact(db, "dataset", out)
    clock.stage("done")
    return report


class _Clock:
    """Tells the caller where the build is, and remembers how long each stage took."""

    def __init__(self, progress: Progress | None) -> None:
        self.stages_s: dict[str, float] = {}
        self._progress = progress
        self._start = self._last = time.monotonic()
        self._now = ""

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self._start

    def stage(self, name: str) -> None:
        now = time.monotonic()
        if self._now:
            self.stages_s[self._now] = round(now - self._last, 3)
        self._now, self._last = name, now
        done = _STAGES.index(name) if name in _STAGES else len(_STAGES)
        self._tell("build", done, len(_STAGES))

    def step(self, done: int, total: int) -> None:
        if done % _EVERY == 0 or done == total:
            self._tell(self._now, done, total)

    def _tell(self, stage: str, done: int, total: int) -> None:
        if self._progress is not None:
            self._progress(stage, done, total)


def _write_rows(
    folder: Path,
    labelled: Labelled,
    rules: RowRules,
    options: BuildOptions,
    decided: Assignment,
    clock: _Clock,
) -> WrittenRows:
    clock.stage("rows")
    alike = chunk_pairs(
        labelled.known, labelled.splits, rules.policy, seed=options.seed, dropped=labelled.dropped
    )
    configs = schemas(rules.negatives, chunk_pairs=bool(alike))
    evalsets = {**decided.trained, **decided.tested}
    workers = labelled.engine.workers
    if workers is not None:
        target = RowTarget(folder, configs, evalsets)
        parts = write_parts(workers, labelled, rules, target, alike)
        if "jsonl" in options.formats:
            write_lines_of(folder, configs)
        return parts
    with RowWriter(folder, configs, jsonl="jsonl" in options.formats, evalsets=evalsets) as writer:
        _write_groups(writer, labelled, rules, clock)
        for split, group, row in alike:
            writer.add(split, group, row)
    return WrittenRows(writer.counts, writer.negatives)


def _write_groups(writer: RowWriter, labelled: Labelled, rules: RowRules, clock: _Clock) -> None:
    n_groups = sum(labelled.splits.groups().values())
    dropped, balance = labelled.dropped, rules.policy.balance
    caps = {split: UseCaps(balance, negatives=rules.negatives, dropped=dropped) for split in SPLITS}
    groups = planned(labelled.read(), labelled.corpus(), rules, dropped)
    for done, group in enumerate(groups, 1):
        writer.negatives.update(group.strategies)
        choices = caps[group.split].choose(group.candidates)
        for row in planned_rows(group.plan, choices, balance.docs_per_list):
            writer.add(group.split, group.plan.group, row)
        clock.step(done, n_groups)


def _write_splits(folder: Path, labelled: Labelled, previous: Mapping[str, str]) -> None:
    """Every group's split, those of earlier builds that have no rows now among them."""
    path = folder / "splits.parquet"
    if labelled.engine.workers is not None:
        path.mkdir()
        path /= part_name(0)
    pq.write_table(labelled.splits.over(previous).table(), path, compression="zstd")


def _report(
    out: Path, labelled: Labelled, written: WrittenRows, sticky: Path | None, clock: _Clock
) -> BuildReport:
    rows = written.counts
    groups = labelled.splits.groups()
    warnings = []
    if labelled.splits.n_families() < MIN_FAMILIES:
        warnings.append(
            f"Only {sum(groups.values())} queries have labels; below {MIN_FAMILIES} all of them are train, "
            f"and dev and test stay empty."
        )
    if not sum(rows["triplets"].values()):
        warnings.append(
            "No query has both a positive and a usable negative, so there are no triplets yet; positives "
            "and pairs are there. Negatives come from prompts with citations (turn.prompted, turn.answer) "
            "and from what people pass over."
        )
    return BuildReport(
        out=out,
        rows=rows,
        groups=groups,
        evidence=labelled.evidence,
        grades=labelled.grades,
        negatives=dict(sorted(written.negatives.items())),
        dropped={rule: n for rule, n in sorted(labelled.dropped.items()) if n},
        warnings=tuple(warnings),
        elapsed_s=clock.elapsed_s,
        sticky_from=sticky,
        stages_s=clock.stages_s,
        trust=labelled.model.describe(),
        examination=labelled.known.examination.as_dict() if labelled.known.examination else {},
        reliability=labelled.reliability,
        examples=count_questions(labelled),
    )


def _label_warnings(db: str | Path, labelled: Labelled, policy: Policy) -> Iterator[str]:
    """Yield what the label model found that a person should know, with the next command."""
    asked = {
        "positives": policy.grading.precision_of_positives,
        "negatives": policy.grading.precision_of_negatives,
    }
    command = "ragwheel grade" if is_traces(db) else f"ragwheel grade --db {db}"
    return model_warnings(labelled.model, asked, command)


def _nothing(db: str | Path, labelled: Labelled, unreadable: str) -> str:
    spans = labelled.tables.spans
    have = (
        f"{spans.get('retrieval', 0)} retrievals, {spans.get('turn', 0)} turns, "
        f"{labelled.tables.n_citations} matched citations and {spans.get('signal', 0)} signals"
    )
    if unreadable:
        return f"{db} has {have}. {unreadable}"
    if labelled.grades:
        why = "; ".join(f"{rule}: {n}" for rule, n in sorted(labelled.dropped.items()) if n)
        return (
            f"{db} has {have}, but no grade is sure enough for a row ({why}). More traffic settles most of "
            f"these; see: ragwheel status --db {db}"
        )
    return (
        f"{db} has {have}, and none of that says whether a chunk was useful. Expected citations "
        f"(turn.answer(text) with [1], [2] in it) or signals (ragwheel.signal(handle, 'click', chunk=...)). "
        f"See what was captured: ragwheel show --db {db}"
    )
