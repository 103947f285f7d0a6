"""The import of traces: files are read record by record, grouped by trace and written in batches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Final

from ragwheel.errors import ImportingError
from ragwheel.importing.contents import Contents, ContentsCounter, plain
from ragwheel.importing.corpus import CorpusFile, read_corpus
from ragwheel.importing.feedback import FeedbackWriter
from ragwheel.importing.reading import read_all
from ragwheel.importing.records import Feedback
from ragwheel.importing.remotes import is_address
from ragwheel.importing.rows import RowBuilder, citable
from ragwheel.importing.staging import Staging
from ragwheel.importing.traces import Trace, assemble
from ragwheel.importing.verdicts import Scales
from ragwheel.redaction import Redaction, named
from ragwheel.store.imported import StoredRanking, TraceWriter, writing_traces
from ragwheel.typing import Progress

__all__ = ["Contents", "ImportOptions", "ImportReport", "import_traces", "write_trace"]

TRACES_PER_BATCH: Final = 250
FEEDBACK_PER_BATCH: Final = 2_000
"""Called with what is being done, how much of it is done, and how much there is (bytes, or traces)."""


@dataclass(frozen=True)
class ImportOptions:
    """How traces are imported.

    Attributes:
        corpus: a file or folder with texts by id.
        source: the source of all chunks; None: the name of each retriever.
        people: names of scores that are by people, for tools that do not record the author.
        redact: a hook, or the names of built-in redactors.
    """

    corpus: str | Path | None = None
    source: str | None = None
    people: Sequence[str] = ()
    redact: Callable[[str], str] | str | None = None


@dataclass
class ImportReport:
    """The result of an import.

    ``new``, ``joined`` and ``same`` count the rows of each table that were written now, completed, or stored
    already. ``left_out`` counts by reason what could not be used or looked odd. ``waiting`` counts the
    imported signals in the database whose trace is not in it yet.
    """

    contents: Contents = field(default_factory=Contents)
    new: Counter[str] = field(default_factory=Counter)
    joined: Counter[str] = field(default_factory=Counter)
    same: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    citations: int = 0
    corpus_joined: int = 0
    corpus_missing: int = 0
    waiting: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain values, for JSON."""
        return {**plain(vars(self)), "contents": plain(vars(self.contents))}


def import_traces(
    db: str | Path,
    paths: Iterable[str | Path],
    options: ImportOptions | None = None,
    *,
    announce: Callable[[Contents], None] = lambda _: None,
    progress: Progress = lambda *_: None,
) -> ImportReport:
    """Import the traces and feedback of other tools; the database is created if it does not exist.

    The sources are read completely before anything is written. Each batch of traces is written in a
    transaction, so an interrupted import can be repeated. A second import of the same files adds nothing.

    Args:
        db: the database.
        paths: files of any of the tools in any order, and addresses (see :mod:`ragwheel.importing.remotes`).
        options: see :class:`ImportOptions`.
        announce: called with the contents of the files before the first row is written.
        progress: see :data:`Progress`.

    Raises:
        ImportingError: a file cannot be read, or has no record of a known tool.
        StoreError: the database cannot be written; batches that were written before stay.
    """
    options = options or ImportOptions()
    sources = [path if is_address(path) else Path(path) for path in paths]
    corpus = read_corpus(Path(options.corpus)) if options.corpus is not None else CorpusFile({})
    hook = named(options.redact) if isinstance(options.redact, str) else options.redact
    redaction = Redaction(hook, Path(db)) if hook is not None else None
    counter = ContentsCounter(frozenset(options.people))
    report = ImportReport(counter.contents)
    folder = Path(db).absolute().parent
    if not folder.is_dir():
        raise ImportingError(
            f"There is no folder {folder} for the database. Make it, or name another: --db FILE"
        )
    with Staging(folder) as staging:
        read_all(sources, staging, counter, progress)
        announce(report.contents)
        rows = RowBuilder(corpus, redaction, options.source)
        _write_traces(db, staging, rows, report, progress)
        scales = Scales(staging.feedback())
        feedback = FeedbackWriter(scales, frozenset(options.people), redaction)
        _write_feedback(db, staging.feedback(), feedback, report)
    report.left_out.update(rows.counts)
    report.left_out.update(feedback.counts)
    report.corpus_joined, report.corpus_missing = corpus.joined, corpus.missing
    report.left_out += Counter()  # without zeros
    return report


def _write_traces(
    db: str | Path, staging: Staging, rows: RowBuilder, report: ImportReport, progress: Progress
) -> None:
    groups = staging.by_trace()
    done = 0
    while batch := list(islice(groups, TRACES_PER_BATCH)):
        with writing_traces(db, report.left_out) as writer:
            for spans, facts in batch:
                trace = assemble(spans, facts)
                if trace is not None:
                    write_trace(trace, rows, writer, report, facts_only=not spans)
        done += len(batch)
        progress("writing", done, staging.traces)
    if staging.traces == 0:
        with writing_traces(db, report.left_out):
            pass  # creates the database, in case there is only feedback


def write_trace(
    trace: Trace,
    rows: RowBuilder,
    writer: TraceWriter,
    report: ImportReport,
    *,
    facts_only: bool = False,
    live: bool = False,
) -> None:
    """Write one trace and count its rows. A trace without a retrieval is left out.

    Args:
        trace: the trace.
        rows: makes the rows.
        writer: writes the rows.
        report: counts the rows.
        facts_only: no span of the trace is at hand; its retrievals may be stored already.
        live: the trace may have been written before, with fewer spans; that version is replaced.
    """
    report.left_out.update(trace.counts)
    if not trace.retrievals and not facts_only:
        report.left_out["traces without a retrieval"] += 1
        return
    rankings: list[StoredRanking] = []
    if not trace.retrievals:
        rankings = writer.rankings_of_trace(trace.trace, trace.turn_id)
        report.left_out["answers whose retrieval is in no file so far"] += not rankings
    elif not live:
        # the answer was imported first, from a file of its own: its citations are of these retrievals
        trace.answer = writer.answer_of(trace.turn_id) or trace.answer
        trace.has_turn = trace.has_turn or trace.answer is not None
    stored_chunks = citable(rankings, writer.prompted_of(trace.turn_id)) if rankings else []
    retrievals, turn = rows.of(trace, stored_chunks)
    for stored in retrievals:
        outcome = writer.retrieval(
            stored.record, stored.ids, stored.texts, turn_id=trace.turn_id, replace=live
        )
        _tally(report, outcome, "retrievals")
        if outcome == "new":
            report.new["ranked chunks"] += len(stored.ids)
    if turn is not None:
        outcome = writer.turn(turn, replace=live)
        _tally(report, outcome, "turns")
        if outcome == "new":
            report.new["answers"] += turn.answer is not None
            report.citations += sum(c["retrieval"] is not None for c in turn.citations or ())
            unmatched = sum(c["retrieval"] is None for c in turn.citations or ())
            report.left_out["citations that match no chunk"] += unmatched
        writer.aliases(trace.turn_id, trace.trace, trace.aliases)
    writer.discard(trace.copies)
    if live:
        writer.discard([*trace.aliases, *trace.stand_ins])


def _tally(report: ImportReport, outcome: str, table: str) -> None:
    {"new": report.new, "joined": report.joined, "same": report.same}[outcome][table] += 1


def _write_feedback(
    db: str | Path, records: Iterator[Feedback], feedback: FeedbackWriter, report: ImportReport
) -> None:
    while batch := list(islice(records, FEEDBACK_PER_BATCH)):
        with writing_traces(db, report.left_out) as writer:
            for record in batch:
                feedback.write(record, writer)
    if feedback.written["signals new"]:
        with writing_traces(db, report.left_out) as writer:
            report.waiting = writer.waiting(report.contents.tools)
    for name, n in feedback.written.items():
        table, _, outcome = name.rpartition(" ")
        {"new": report.new, "changed": report.joined, "same": report.same}[outcome][table] += n
