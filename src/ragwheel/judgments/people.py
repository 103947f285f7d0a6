"""Writing judgments of people: one, many, or those of a CSV file."""

from __future__ import annotations

import csv
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain, islice
from pathlib import Path
from typing import Final, Literal

from ragwheel.errors import JudgmentError
from ragwheel.store.judging import JudgmentRow, JudgmentWriter, Outcome, writing_judgments

__all__ = ["Judgment", "JudgmentReport", "import_judgments", "judge", "judge_many", "unjudge"]

#: Columns of a CSV file of judgments; the first three are required.
COLUMNS: Final = ("query", "chunk_id", "grade", "source", "judge", "judge_kind", "note", "at", "reason")
_BATCH: Final = 5_000
_EXAMPLES: Final = 20
_MAX_FIELD: Final = 10_000_000


@dataclass(frozen=True, slots=True)
class Judgment:
    """An explicit grade.

    Args:
        query: the question, in any wording.
        chunk: the app's id of the chunk.
        grade: 0 (irrelevant) to 5 (fully answers); 3 is useful.
        judge: the name of the judge. Of a judge's grades for a query and chunk only the latest is kept.
        source: the source of the chunk; required only if several sources have a chunk of this id.
        at: the time of the judgment; None: now.
        note: the reason in words.
        kind: ``"human"`` or ``"llm"``.
        reason: the reason as a short code such as ``"outdated"``.
    """

    query: str
    chunk: str
    grade: float
    judge: str = "me"
    source: str | None = None
    at: datetime | float | None = None
    note: str | None = None
    kind: Literal["human", "llm"] = "human"
    reason: str | None = None


@dataclass(frozen=True)
class JudgmentReport:
    """The result of writing judgments.

    ``new`` and ``changed`` judgments were written, ``same`` were stored already, and ``older`` ones are
    superseded by a later one of the same judge. ``refused`` counts the others by reason, and ``examples``
    describes the first of them.
    """

    new: int = 0
    changed: int = 0
    same: int = 0
    older: int = 0
    refused: Mapping[str, int] = field(default_factory=dict)
    examples: tuple[str, ...] = ()

    @property
    def written(self) -> int:
        """The number of rows that were written."""
        return self.new + self.changed


def judge(  # noqa: PLR0913 - all but four by keyword
    db: str | Path,
    query: str,
    chunk: str,
    grade: float,
    *,
    judge: str = "me",
    source: str | None = None,
    at: datetime | float | None = None,
    note: str | None = None,
    reason: str | None = None,
) -> Outcome:
    """Write a person's grade; repeating the call changes nothing.

    Args:
        db: the database.
        query, chunk, grade, judge, source, at, note, reason: see :class:`Judgment`.

    Returns:
        ``"new"``, ``"changed"``, ``"same"``, or ``"older"`` if a later grade of this judge is stored.

    Raises:
        JudgmentError: the grade is not 0-5, the query is blank, or the store has no such chunk.
        StoreError: the database cannot be written.
    """
    judgment = Judgment(query, str(chunk), grade, judge, source, at, note, reason=reason)
    with writing_judgments(db) as writer:
        return writer.write(_row(judgment, _Sources(writer)))


def unjudge(db: str | Path, query: str, chunk: str, *, judge: str = "me", source: str | None = None) -> bool:
    """Delete a person's grade; False if there is none.

    Raises:
        JudgmentError: the store has no such chunk.
        StoreError: the database cannot be written.
    """
    judgment = Judgment(query, str(chunk), 0, judge, source)
    with writing_judgments(db) as writer:
        return writer.remove(_row(judgment, _Sources(writer)))


def judge_many(
    db: str | Path, judgments: Iterable[Judgment], *, progress: Callable[[int], None] | None = None
) -> JudgmentReport:
    """Write many judgments; those that cannot be used are counted by reason.

    They are written in transactions of 5,000, so an interrupted call can be repeated. ``progress`` is called
    with the number of judgments read.

    Raises:
        StoreError: the database cannot be written.
    """
    numbered = ((f"judgment {n}", judgment) for n, judgment in enumerate(judgments, 1))
    return _write(db, numbered, Counter(), [], progress)


def import_judgments(
    db: str | Path, path: str | Path, *, judge: str = "me", progress: Callable[[int], None] | None = None
) -> JudgmentReport:
    """Import a CSV file with the columns ``query, chunk_id, grade`` and optionally others of :data:`COLUMNS`.

    Args:
        db: the database.
        path: the file in UTF-8, which is read row by row.
        judge: the judge of rows that do not name one.
        progress: called with the number of rows read.

    Raises:
        JudgmentError: the file cannot be read, or lacks a required column.
        StoreError: the database cannot be written.
    """
    refused: Counter[str] = Counter()
    examples: list[str] = []
    rows = _read(Path(path), judge, refused, examples)
    first = next(rows, None)
    judgments = chain(() if first is None else (first,), rows)
    return _write(db, judgments, refused, examples, progress, create=True)


def _write(
    db: str | Path,
    judgments: Iterator[tuple[str, Judgment]],
    refused: Counter[str],
    examples: list[str],
    progress: Callable[[int], None] | None,
    *,
    create: bool = False,
) -> JudgmentReport:
    outcomes: Counter[Outcome] = Counter()
    done = 0
    while batch := list(islice(judgments, _BATCH)):
        with writing_judgments(db, create=create) as writer:
            sources = _Sources(writer)
            for where, judgment in batch:
                try:
                    writer.write(_row(judgment, sources))
                except JudgmentError as exc:
                    _refuse(where, exc, refused, examples)
        outcomes.update(writer.outcomes)
        done += len(batch)
        if progress is not None:
            progress(done)
    counts = {name: outcomes[name] for name in ("new", "changed", "same", "older")}
    return JudgmentReport(**counts, refused=dict(sorted(refused.items())), examples=tuple(examples))


def _refuse(where: str, exc: JudgmentError, refused: Counter[str], examples: list[str]) -> None:
    reason = str(exc).partition(":")[0]
    refused[reason] += 1
    if len(examples) < _EXAMPLES:
        examples.append(f"{where}: {exc}")


class _Sources:
    """A cache of the source of each chunk id, looked up in the store once per id."""

    def __init__(self, writer: JudgmentWriter) -> None:
        self._writer = writer
        self._known: dict[str, list[str]] = {}

    def of(self, chunk_id: str, source: str | None) -> str:
        if chunk_id not in self._known:
            self._known[chunk_id] = self._writer.sources_of(chunk_id)
        sources = self._known[chunk_id]
        if not sources or (source is not None and source not in sources):
            where = f" in source {source!r}" if source is not None else ""
            raise JudgmentError(
                f"unknown chunk: the store has no chunk {chunk_id!r}{where}. Expected the app's id as in "
                f"ragwheel show; chunks that were never retrieved come in with ragwheel import --evalset"
            )
        if source is None and len(sources) > 1:
            raise JudgmentError(
                f"ambiguous chunk: {chunk_id!r} is in the sources {', '.join(sources)}. "
                "Say which (source=...)"
            )
        return source or sources[0]


def _row(judgment: Judgment, sources: _Sources) -> JudgmentRow:
    """Return the row to write.

    Raises:
        JudgmentError: the judgment cannot be used; the part of the message before the colon names the reason.
    """
    if not judgment.query.strip():
        raise JudgmentError("blank query: expected the question that was judged")
    if not judgment.judge.strip():
        raise JudgmentError("blank judge: expected a name")
    if judgment.kind not in ("human", "llm"):
        raise JudgmentError(f"unknown judge kind: got {judgment.kind!r}, allowed: human, llm")
    grade = _grade(judgment.grade)
    return JudgmentRow(
        query=_stored(judgment.query),
        source=sources.of(judgment.chunk, judgment.source),
        chunk_id=judgment.chunk,
        grade=grade,
        judge=_stored(judgment.judge),
        judge_kind=judgment.kind,
        note=_stored(judgment.note) if judgment.note else None,
        at_ns=_at_ns(judgment.at),
        reason=_stored(judgment.reason) if judgment.reason else None,
    )


def _stored(text: str) -> str:
    """Return a text that UTF-8 can encode: lone surrogates become question marks."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _grade(value: object) -> float:
    try:
        grade = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        grade = math.nan
    if isinstance(value, bool) or not 0 <= grade <= 5:
        raise JudgmentError(f"grade out of range: got {value!r}, allowed: a number from 0 to 5")
    return grade


def _at_ns(at: datetime | float | None) -> int | None:
    if at is None:
        return None
    seconds = at.timestamp() if isinstance(at, datetime) else float(at)
    return int(seconds * 1e9)


def _read(
    path: Path, judge: str, refused: Counter[str], examples: list[str]
) -> Iterator[tuple[str, Judgment]]:
    """Yield (location, judgment) of every readable row of a CSV file."""
    before = csv.field_size_limit(_MAX_FIELD)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            _check_columns(path, reader.fieldnames)
            for row in reader:
                where = f"{path.name}, line {reader.line_num}"
                try:
                    yield where, _from_csv(row, judge)
                except JudgmentError as exc:
                    _refuse(where, exc, refused, examples)
    except (OSError, UnicodeDecodeError, csv.Error) as exc:
        raise JudgmentError(
            f"{path} cannot be read: {exc}. Expected CSV in UTF-8 with the columns query, chunk_id, grade"
        ) from exc
    finally:
        csv.field_size_limit(before)


def _check_columns(path: Path, columns: Iterable[str] | None) -> None:
    got = list(columns or ())
    missing = [name for name in COLUMNS[:3] if name not in got]
    unknown = [name for name in got if name not in COLUMNS]
    if missing or unknown:
        problems = [f"without {', '.join(missing)}"] if missing else []
        problems += [f"with the unknown {', '.join(map(repr, unknown))}"] if unknown else []
        raise JudgmentError(
            f"{path} has a head {' and '.join(problems)}; allowed: {', '.join(COLUMNS)}, of which the first "
            f"three are needed. Rename the columns; an evaluation set goes in with: "
            f"ragwheel import --evalset {path}"
        )


def _from_csv(row: Mapping[str | None, str | None], judge: str) -> Judgment:
    if None in row or any(row[name] is None for name in COLUMNS[:3]):
        raise JudgmentError("wrong number of cells: expected as many as the head has")
    text = {name: (row.get(name) or "").strip() for name in COLUMNS}
    at = None
    if text["at"]:
        try:
            at = datetime.fromisoformat(text["at"].replace("Z", "+00:00"))
        except ValueError:
            raise JudgmentError(
                f"unreadable time: got {text['at']!r}, expected ISO 8601 such as 2026-01-31T12:00:00+00:00"
            ) from None
    return Judgment(
        query=text["query"],
        chunk=text["chunk_id"],
        grade=_grade(text["grade"]),
        judge=text["judge"] or judge,
        source=text["source"] or None,
        at=at,
        note=text["note"] or None,
        reason=text["reason"] or None,
        kind=text["judge_kind"] or "human",  # type: ignore[arg-type]  # checked where it is written
    )
