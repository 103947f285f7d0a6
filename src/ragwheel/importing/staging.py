"""A staging area for records until their traces are complete: memory, and beyond a limit a file on disk."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Final

import msgspec

from ragwheel.importing.records import Feedback, Neutral, ToolSpan, TraceFacts

__all__ = ["Staging"]

MEMORY_BYTES: Final = 128 * 1024 * 1024
SPAN, FACTS, FEEDBACK = 0, 1, 2

_encode: Final = msgspec.msgpack.Encoder().encode
_decode_span: Final = msgspec.msgpack.Decoder(ToolSpan).decode
_decode_facts: Final = msgspec.msgpack.Decoder(TraceFacts).decode
_decode_feedback: Final = msgspec.msgpack.Decoder(Feedback).decode


class Staging:
    """Groups records by trace in bounded memory.

    Complete traces are returned in the order in which they were first seen.

    Args:
        folder: the folder for the temporary file, which is created if needed and deleted at the end.
        memory_bytes: how many bytes to keep in memory before the file is used.
    """

    def __init__(self, folder: Path, memory_bytes: int = MEMORY_BYTES) -> None:
        self._folder, self._memory_bytes = folder, memory_bytes
        self._traces: dict[bytes, int] = {}
        self._held: list[tuple[int, int, bytes]] = []
        self._bytes = 0
        self._feedback: list[bytes] = []
        self._directory: tempfile.TemporaryDirectory[str] | None = None
        self._file: sqlite3.Connection | None = None

    def __enter__(self) -> Staging:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()
        if self._directory is not None:
            self._directory.cleanup()

    @property
    def traces(self) -> int:
        """The number of traces."""
        return len(self._traces)

    def add(self, record: Neutral) -> None:
        """Add a record."""
        raw = _encode(record)
        if isinstance(record, Feedback):
            self._feedback.append(raw)
            return
        number = self._traces.setdefault(record.trace, len(self._traces))
        self._held.append((number, SPAN if isinstance(record, ToolSpan) else FACTS, raw))
        self._bytes += len(raw)
        if self._bytes > self._memory_bytes:
            self._spill()

    def feedback(self) -> Iterator[Feedback]:
        """Yield all feedback in the order in which it was read."""
        return map(_decode_feedback, self._feedback)

    def by_trace(self) -> Iterator[tuple[list[ToolSpan], list[TraceFacts]]]:
        """Yield the spans and facts of each trace."""
        if self._file is None:
            groups: list[list[tuple[int, bytes]]] = [[] for _ in self._traces]
            for number, kind, raw in self._held:
                groups[number].append((kind, raw))
            self._held = []
            for number, group in enumerate(groups):
                groups[number] = []
                yield _decoded(group)
            return
        self._spill()
        self._file.execute("CREATE INDEX IF NOT EXISTS by_trace ON record (trace)")
        number, group = 0, []
        for trace, kind, raw in self._file.execute(
            "SELECT trace, kind, raw FROM record ORDER BY trace, rowid"
        ):
            if trace != number:
                yield _decoded(group)
                number, group = trace, []
            group.append((kind, raw))
        if group:
            yield _decoded(group)

    def _spill(self) -> None:
        """Move the records in memory to the file."""
        if self._file is None:
            self._directory = tempfile.TemporaryDirectory(prefix=".ragwheel-import-", dir=self._folder)
            self._file = sqlite3.connect(Path(self._directory.name) / "staging", isolation_level=None)
            self._file.execute("PRAGMA journal_mode = OFF")
            self._file.execute("PRAGMA synchronous = OFF")
            self._file.execute("CREATE TABLE record (trace INTEGER, kind INTEGER, raw BLOB)")
        self._file.execute("BEGIN")
        self._file.executemany("INSERT INTO record VALUES (?, ?, ?)", self._held)
        self._file.execute("COMMIT")
        self._held, self._bytes = [], 0


def _decoded(group: list[tuple[int, bytes]]) -> tuple[list[ToolSpan], list[TraceFacts]]:
    spans = [_decode_span(raw) for kind, raw in group if kind == SPAN]
    return spans, [_decode_facts(raw) for kind, raw in group if kind == FACTS]
