"""The runtime: what ``configure`` makes, and the life of it: forks, flush, shutdown, counts."""

from __future__ import annotations

import atexit
import contextlib
import os
import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ragwheel.guard import guard
from ragwheel.journal.records import Retrieval, Signal, TurnRecord
from ragwheel.journal.writer import Journal
from ragwheel.store.background import BackgroundMerger

if TYPE_CHECKING:
    from ragwheel.settings import Settings
    from ragwheel.telemetry import Exports

__all__ = ["Runtime", "Stats", "active", "configure", "flush", "shutdown", "stats"]

REMEMBERED: Final = 2000
"""Retrievals whose chunk ids this process remembers, to tell an unknown chunk at once."""


@dataclass(frozen=True)
class Stats:
    """Counts of this process; ``emitted == stored + journalled + sum(dropped.values())`` always.

    ``emitted``: records (retrievals, turns, signals) that were to be kept. ``stored``: in SQLite.
    ``journalled``: on disk, not merged yet. ``dropped``: could not be written, by reason.
    ``refused``: signals not taken, by reason. ``unsampled``: left out by ``sample_ratio``.
    ``errors``: exceptions inside ragwheel that the app never saw, by place.
    """

    emitted: int = 0
    stored: int = 0
    journalled: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)
    unsampled: int = 0
    errors: dict[str, int] = field(default_factory=dict)


class Runtime:
    """A configured ragwheel: its settings, its journal and the merger behind it."""

    def __init__(self, settings: Settings, version: str) -> None:
        self.settings = settings
        self._merger = BackgroundMerger(
            settings.db,
            interval_s=settings.merge_interval_s,
            sync_interval_s=settings.sync_interval_s,
            sync=self._sync,
        )
        self._journal = Journal(
            settings.db,
            app=settings.app,
            version=version,
            power=settings.durability == "power",
            on_write=self._merger.notify,
        )
        self._bound = int(settings.sample_ratio * 2**64)
        self._exports: Exports | None = None
        if settings.exporters:
            from ragwheel.telemetry import Exports

            self._exports = Exports(settings.exporters, content=settings.export_content, app=settings.app)
        self._reset()

    def _reset(self) -> None:
        self._lock = threading.RLock()
        self._served: OrderedDict[bytes, tuple[str, ...]] = OrderedDict()
        self._turns: OrderedDict[bytes, list[bytes]] = OrderedDict()
        self._refused: dict[str, int] = {}
        self._unsampled = 0

    # what the capture half calls

    def keeps(self, trace_id: bytes) -> bool:
        """Whether a trace is in the sample (OpenTelemetry's TraceIdRatioBased rule)."""
        return int.from_bytes(trace_id[8:], "big") < self._bound

    def write_retrieval(self, record: Retrieval, ids: list[str], texts: list[str]) -> None:
        """Redact, journal, remember and export a retrieval."""
        if self.settings.redact is not None:
            texts = self._redact_retrieval(record, texts)
        if not self._journalled(lambda: self._journal.retrieval(record, ids, texts), record, self._plain_retrieval):
            return
        self._remember(record.span_id, record.turn_id, tuple(ids))
        if self._exports is not None:
            self._exported(lambda exports: exports.retrieval(record, ids, texts))

    def write_turn(self, record: TurnRecord) -> None:
        """Redact, journal and export a turn."""
        if self.settings.redact is not None:
            record.query, record.answer = self._redacted(record.query), self._redacted(record.answer)
            for citation in record.citations or ():
                citation["text"] = self._redacted(citation["text"])
        if self._journalled(lambda: self._journal.turn(record), record) and self._exports is not None:
            self._exported(lambda exports: exports.turn(record))

    def write_signal(self, record: Signal) -> bool:
        """Redact, journal and export a signal."""
        if self.settings.redact is not None:
            record.query = self._redacted(record.query)
        if not self._journalled(lambda: self._journal.signal(record), record):
            return False
        if self._exports is not None:
            self._exported(lambda exports: exports.signal(record))
        return True

    def served(self, target: int, span_id: bytes) -> list[tuple[str, ...]] | None:
        """Chunk ids of the retrieval (0) or of each retrieval of the turn (1); None: this process can't tell."""
        with self._lock:
            spans = [span_id] if target == 0 else self._turns.get(span_id)
            found = [self._served.get(span) for span in spans or ()]
        return [ids for ids in found if ids is not None] if found and None not in found else None

    def refuse(self, reason: str) -> None:
        """Count a signal that was not taken."""
        with self._lock:
            self._refused[reason] = self._refused.get(reason, 0) + 1

    def count_unsampled(self) -> None:
        """Count a record left out by ``sample_ratio``."""
        with self._lock:
            self._unsampled += 1

    def _journalled(
        self, write: Callable[[], bool], record: Any, plain: Callable[[Any], None] | None = None
    ) -> bool:
        """Journal a record; one that cannot be encoded as it is gets a second chance as plain values."""
        try:
            return write()
        except Exception as exc:
            first = exc
        try:
            if plain is not None:
                plain(record)
                return write()
            raise first
        except Exception as exc:
            self._journal.drop("broken")
            guard.caught("encoding a record", exc)
            return False

    @staticmethod
    def _plain_retrieval(record: Retrieval) -> None:
        """Replace metadata that MessagePack cannot take (objects, cycles, lone surrogates) by plain values."""
        from ragwheel.capture.safe import jsonable

        flags: dict[str, None] = dict.fromkeys(record.flags)
        if record.metadata is not None:
            plain = [jsonable(found) for found in record.metadata]
            record.metadata = [value for value, _ in plain]
            flags.update((flag, None) for _, found in plain for flag in found)
        record.flags = tuple(flags)

    def _remember(self, span_id: bytes, turn_id: bytes | None, ids: tuple[str, ...]) -> None:
        with self._lock:
            self._served[span_id] = ids
            if len(self._served) > REMEMBERED:
                self._served.popitem(last=False)
            if turn_id is not None:
                self._turns.setdefault(turn_id, []).append(span_id)
                if len(self._turns) > REMEMBERED:
                    self._turns.popitem(last=False)

    # redaction

    def _redacted(self, text: str | None) -> str | None:
        return None if text is None else self._redact(text)

    def _redact(self, text: str) -> str:
        """The hook's word, or a note in its place when it fails: an unredacted text is never written."""
        redact = self.settings.redact
        assert redact is not None
        try:
            found = redact(text)
            if type(found) is str:
                found.encode()
                return found
            raise TypeError(f"redact returned {type(found).__name__}, expected str")
        except Exception as exc:
            with contextlib.suppress(Exception):
                guard.caught("redacting", exc)
            return "[not recorded: redaction failed]"

    def _redact_retrieval(self, record: Retrieval, texts: list[str]) -> list[str]:
        record.query = self._redact(record.query)
        self._plain_retrieval(record)
        if record.metadata is not None:
            record.metadata = [self._redact_value(found) for found in record.metadata]
        return [self._redact(text) for text in texts]

    def _redact_value(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._redact(value)
        if isinstance(value, dict):
            return {key: self._redact_value(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self._redact_value(item) for item in value]
        return value

    # export

    def _exported(self, export: Callable[[Exports], None]) -> None:
        assert self._exports is not None
        try:
            export(self._exports)
        except Exception as exc:
            guard.caught("exporting a span", exc)

    # life

    def flush(self, timeout_s: float = 5.0) -> bool:
        """Merge everything so far; True when it is in SQLite (and handed to the exporters)."""
        exported = self._exports is None or self._exports.flush(timeout_s)
        return self._merger.flush(timeout_s) and exported

    def close(self, timeout_s: float = 5.0) -> bool:
        """Seal the journal, merge it and end the merger. Records that come later are journalled again."""
        self._journal.close()
        done = self._merger.close(timeout_s)
        if self._exports is not None:
            self._exports.shutdown()
        return done

    def after_fork(self) -> None:
        """In a forked child: nothing inherited is used; the first record opens a segment of its own."""
        guard.reset()
        self._reset()
        self._journal.after_fork()
        self._merger.after_fork()

    def _sync(self) -> None:
        self._journal.sync()

    def stats(self) -> Stats:
        """Counts of this process, read from the journal's writer and the database."""
        journal = self._journal
        with journal.lock:
            emitted, dropped = journal.emitted, dict(journal.dropped)
            names = [path.name for path in journal.paths]
        with self._lock:
            refused, unsampled = dict(self._refused), self._unsampled
        written = emitted - sum(dropped.values())
        stored = min(_stored(self.settings.db, names), written)
        return Stats(emitted, stored, written - stored, dropped, refused, unsampled, guard.counts())


def _stored(db: Path, segments: Iterable[str]) -> int:
    """How many records of these segments the database has."""
    from ragwheel.errors import StoreError
    from ragwheel.store.connect import connect

    try:
        connection = connect(db, write=False)
    except StoreError:
        return 0
    try:
        rows = (
            connection.execute("SELECT records FROM _segment WHERE name = ?", (name,)).fetchone() for name in segments
        )
        return sum(row[0] for row in rows if row)
    except sqlite3.Error:
        return 0
    finally:
        connection.close()


_active: Runtime | None = None
_asked_environment = False
_hooks_set = False


def active() -> Runtime | None:
    """The configured runtime. The first call configures from the environment when ``RAGWHEEL_DB`` is set."""
    return _active if _active is not None or _asked_environment else _from_environment()


def _from_environment() -> Runtime | None:
    global _asked_environment
    _asked_environment = True
    if os.environ.get("RAGWHEEL_DB"):
        try:
            return configure()
        except Exception as exc:
            guard.caught("configuring from the environment", exc)
            return None
    guard.warn_once(
        "not configured",
        "ragwheel is not configured, nothing is recorded: call ragwheel.configure(db='ragwheel.db') at start "
        "or set RAGWHEEL_DB",
    )
    return None


def configure(
    db: str | os.PathLike[str] | None = None,
    *,
    app: str | None = None,
    capture_k: int | None = None,
    sample_ratio: float | None = None,
    redact: Callable[[str], str] | None = None,
    export_content: bool | None = None,
    exporters: Iterable[Any] | None = None,
    signing_keys: Iterable[str] | None = None,
    durability: str | None = None,
    sync_interval_s: float | None = None,
    merge_interval_s: float | None = None,
    max_text_chars: int | None = None,
) -> Runtime:
    """Start recording. Call it once at start; a second call replaces the first.

    What is not given comes from ``RAGWHEEL_DB``, ``RAGWHEEL_APP``, … in the environment, else the default.

    Args:
        db: SQLite file, made when missing (default ``ragwheel.db``).
        app: the app's name, on every turn and retriever.
        capture_k: at most this many chunks per retrieval are recorded, 1-1000 (default 40).
        sample_ratio: share of traces that are kept, 0-1 (default 1). The app's own sampler has no say.
        redact: called with every text and every string in metadata before it is written anywhere; returns
            what to write. If it fails, a note is written instead of the text.
        export_content: let spans that leave for ``exporters`` carry texts (default False: ids, ranks, scores).
        exporters: OpenTelemetry span exporters or span processors that get ragwheel's spans too.
        signing_keys: ``"<key id>:<hex>"``, newest first; handles are signed with the first.
        durability: ``"process"`` (default): a killed process loses nothing, a power cut at most
            ``sync_interval_s``; ``"power"``: a power cut loses nothing.
        sync_interval_s: seconds between syncs to disk (default 1).
        merge_interval_s: seconds that records wait in the journal before they are merged (default 0.25).
        max_text_chars: longer texts are cut and flagged (default 1,000,000).

    Raises:
        ConfigurationError: a setting cannot be used.
    """
    from ragwheel import __version__
    from ragwheel.settings import load

    global _active, _hooks_set
    given = dict(
        db=db, app=app, capture_k=capture_k, sample_ratio=sample_ratio, redact=redact,
        export_content=export_content, exporters=None if exporters is None else tuple(exporters),
        signing_keys=signing_keys if signing_keys is None or isinstance(signing_keys, str) else tuple(signing_keys),
        durability=durability, sync_interval_s=sync_interval_s, merge_interval_s=merge_interval_s,
        max_text_chars=max_text_chars,
    )  # fmt: skip
    runtime = Runtime(load(given), __version__)
    previous, _active = _active, runtime
    if previous is not None:
        previous.close()
    if not _hooks_set:
        _hooks_set = True
        atexit.register(shutdown)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=_after_fork)
    return runtime


def _after_fork() -> None:
    if _active is not None:
        _active.after_fork()


def flush(timeout_s: float = 5.0) -> bool:
    """Merge everything recorded so far. True: it is all in SQLite. Takes at most about ``timeout_s`` seconds."""
    return _active.flush(timeout_s) if _active is not None else True


def shutdown() -> None:
    """Merge everything and stop recording until the next :func:`configure`. Runs by itself at exit."""
    global _active, _asked_environment
    runtime, _active = _active, None
    _asked_environment = True  # what comes after a shutdown does not start anew by itself
    if runtime is not None:
        try:
            runtime.close()
        except Exception as exc:
            guard.caught("shutting down", exc)


def stats() -> Stats:
    """Counts of this process so far; all zero when not configured."""
    return _active.stats() if _active is not None else Stats(errors=guard.counts())
