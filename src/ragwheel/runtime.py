"""The runtime that ``configure`` makes, and its lifecycle: forks, flush, shutdown and counts."""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from ragwheel.guard import guard, let_interrupts_through
from ragwheel.host import safe
from ragwheel.journal.recent import RecentRecords
from ragwheel.journal.records import RetrievalRecord, SignalRecord, TurnRecord, event_key
from ragwheel.journal.writer import Journal
from ragwheel.redaction import Redaction, named
from ragwheel.store.background import BackgroundMerger
from ragwheel.store.counts import Audit, Stats

if TYPE_CHECKING:
    from ragwheel.settings import Settings
    from ragwheel.telemetry import Exports

__all__ = ["Runtime", "Stats", "active", "configure", "current", "flush", "shutdown", "stats"]


class Runtime:
    """A configured ragwheel: its settings, its journal and the merger behind it."""

    def __init__(self, settings: Settings, version: str) -> None:
        self.settings = settings
        self._merger = BackgroundMerger(
            settings.db,
            interval_s=settings.merge_interval_s,
            sync_interval_s=settings.sync_interval_s,
            merge_in=settings.merge_in,
            sync=lambda: self._journal.sync(),  # noqa: PLW0108 - made just below
            audit=lambda: self._audit.tell_losses(),  # noqa: PLW0108 - made further below
        )
        self._journal = Journal(
            settings.db,
            app=settings.app,
            version=version,
            power=settings.durability == "power",
            clean=partial(safe.text, max_chars=settings.max_text_chars),
            on_write=self._merger.notify,
        )
        self._redaction = Redaction(settings.redact, settings.db) if settings.redact is not None else None
        self._bound = int(settings.sample_ratio * 2**64)
        self._exports: Exports | None = None
        self._closed = False
        if settings.exporters:
            from ragwheel.telemetry import Exports

            self._exports = Exports(settings.exporters, content=settings.export_content, app=settings.app)
        self._reset()
        _runtimes.add(self)

    def _reset(self) -> None:
        self._lock = threading.RLock()
        self._recent = RecentRecords()
        self._refused: dict[str, int] = {}
        self._unsampled = 0
        self.n_outside = 0
        """Retrievals outside of every turn so far."""
        self._audit = Audit(self._journal, self._merger.merged)

    # called by the capture half

    def keeps(self, trace_id: bytes) -> bool:
        """Return whether a trace is in the sample (by OpenTelemetry's TraceIdRatioBased rule)."""
        return self._bound == 2**64 or int.from_bytes(trace_id[8:], "big") < self._bound

    def recorded_ids(self, ids: list[str], texts: list[str]) -> list[str]:
        """Return the ids to record for chunks. An id that was made from a redacted text is replaced."""
        return ids if self._redaction is None else self._redaction.ids(ids, texts)

    def write_retrieval(self, record: RetrievalRecord, ids: list[str], texts: list[str]) -> bool:
        """Redact, journal, remember and export a retrieval.

        A record that cannot be written is counted; returns False.
        """
        if self._redaction is not None:
            self._plain_retrieval(record)
            texts = self._redaction.retrieval(record, texts)
        if not self._journalled(
            lambda: self._journal.retrieval(record, ids, texts), record, self._plain_retrieval
        ):
            return False
        self._recent.retrieved(record, ids)
        if self._exports is not None:
            self._exported(lambda exports: exports.retrieval(record, ids, texts))
        return True

    def write_turn(self, record: TurnRecord) -> bool:
        """Redact, journal and export a turn. A record that cannot be written is counted; returns False."""
        if self._redaction is not None:
            self._redaction.turn(record)
        if not self._journalled(lambda: self._journal.turn(record), record):
            return False
        if self._exports is not None:
            self._exported(lambda exports: exports.turn(record))
        return True

    def write_signal(self, record: SignalRecord) -> bool:
        """Redact, journal and export a signal. A record that cannot be written is counted; returns False.

        Returns True without writing if this process has written the event before.
        """
        kept = False
        with guard("keeping a signal"):
            event = event_key(record)
            if self._recent.happened(event):
                return True
            if self._redaction is not None:
                self._redaction.signal(record)
            kept = self._journalled(lambda: self._journal.signal(record), record)
            if kept:
                self._recent.add_event(event)
        if not kept:
            return False
        if self._exports is not None:
            self._exported(lambda exports: exports.signal(record))
        return True

    def write_signals(self, records: Sequence[SignalRecord]) -> list[bool]:
        """Write several signals as :meth:`write_signal` does, with one sync for all of them."""
        with self._journal.together() as synced:
            written = [self.write_signal(record) for record in records]
        if synced():
            return written
        self._recent.forget_events()  # none of them is acknowledged: each will be sent, and written, again
        return [False] * len(written)

    def served(self, target: int, span_id: bytes) -> list[tuple[str, ...]] | None:
        """Return the chunk ids of a retrieval (target 0) or of a turn's retrievals (1); None if unknown."""
        served = self._recent.served(target, span_id)
        return None if served is None else [retrieval.ids for retrieval in served]

    def sources_of(self, target: int, span_id: bytes, chunk: str) -> set[str]:
        """Return the known sources in a turn (target 1) of a chunk id; none for a retrieval (0)."""
        return self._recent.sources(span_id, chunk) if target else set()

    def refuse(self, reason: str) -> None:
        """Count a signal that was refused."""
        with self._lock:
            self._refused[reason] = self._refused.get(reason, 0) + 1

    def count_unsampled(self) -> None:
        """Count a record left out by ``sample_ratio``."""
        with self._lock:
            self._unsampled += 1

    def count_outside(self) -> None:
        """Count a retrieval outside of every turn."""
        self.n_outside += 1

    def _journalled(
        self, write: Callable[[], bool], record: Any, plain: Callable[[Any], None] | None = None
    ) -> bool:
        """Journal a record. If it cannot be encoded, its values are made plain and it is tried once more."""
        try:
            written = write()
            if (
                self._closed
            ):  # a turn that began before the runtime was closed; no later call closes this segment
                self._journal.close()
            return written
        except Exception as exc:
            let_interrupts_through(exc)
            first = exc
        try:
            if plain is not None:
                plain(record)
                return write()
            raise first
        except Exception as exc:
            let_interrupts_through(exc)
            self._journal.drop("broken")
            guard.caught("encoding a record", exc)
            return False

    @staticmethod
    def _plain_retrieval(record: RetrievalRecord) -> None:
        """Make metadata plain that MessagePack cannot encode (objects, cycles, lone surrogates)."""
        flags: dict[str, None] = dict.fromkeys(record.flags)
        if record.metadata is not None:
            plain = [safe.jsonable(value) for value in record.metadata]
            record.metadata = [value for value, _ in plain]
            flags.update((flag, None) for _, flags_of in plain for flag in flags_of)
        record.flags = tuple(flags)

    # export

    def _exported(self, export: Callable[[Exports], None]) -> None:
        with guard("exporting a span"):
            if self._exports is not None:
                export(self._exports)

    # life

    def flush(self, timeout_s: float = 5.0) -> bool:
        """Merge everything so far; True when it is in SQLite (and passed to the exporters).

        Also False if records were lost that no earlier flush had reported as stored (see :class:`Stats`).
        """
        deadline = time.monotonic() + timeout_s
        written = self._audit.written()
        merged = self._merger.flush(timeout_s, self._journal.sizes())
        exported = self._exports is None
        if self._exports is not None:
            with guard("flushing the exporters"):
                exported = self._exports.flush(max(deadline - time.monotonic(), 0.0))
        return self._audit.flushed(written) and merged and exported

    def close(self, timeout_s: float = 5.0) -> bool:
        """Seal the journal, merge it and end the merger. Later records open a new journal segment."""
        self._closed = True
        self._audit.tell_losses()
        sizes = self._journal.sizes()
        self._journal.close()
        done = self._merger.close(timeout_s, sizes)
        if self._exports is not None:
            with guard("shutting down the exporters"):
                self._exports.close(timeout_s)
        return done

    def before_fork(self) -> None:
        """Close every SQLite handle before the process forks."""
        self._merger.before_fork()

    def after_fork_in_parent(self) -> None:
        """Resume the merger in the parent after a fork."""
        self._merger.after_fork_in_parent()

    def after_fork_in_child(self) -> None:
        """Start afresh in a forked child: the first record opens a journal segment of its own."""
        guard.reset()
        self._reset()
        self._journal.reset()
        self._merger.after_fork_in_child()
        if self._exports is not None:
            self._exports.after_fork_in_child()

    def stats(self) -> Stats:
        """Return the counts of this process, read from the journal's writer and the database."""
        emitted, dropped, counts = self._audit.measure()
        for reason, n in counts.dropped.items():
            dropped[reason] = dropped.get(reason, 0) + n
        with self._lock:
            refused, unsampled = dict(self._refused), self._unsampled
        return Stats(emitted, counts.stored, counts.journalled, dropped, refused, unsampled, guard.counts())


_runtimes: WeakSet[Runtime] = WeakSet()
"""All runtimes that are still alive.

One that was replaced may still have calls under way in a forked child.
"""

_active: Runtime | None = None
_asked_environment = False
_hooks_set = False


def active() -> Runtime | None:
    """Return the configured runtime.

    The first call configures from the environment if ``RAGWHEEL_DB`` is set.
    """
    return _active if _active is not None or _asked_environment else _from_environment()


def current() -> Runtime | None:
    """Return the configured runtime. Unlike :func:`active`, this never configures one."""
    return _active


def _from_environment() -> Runtime | None:
    global _asked_environment
    _asked_environment = True
    if os.environ.get("RAGWHEEL_DB"):
        with guard("configuring from the environment"):
            return configure()
        return None
    guard.warn_once(
        "not configured",
        "ragwheel is not configured, nothing is recorded: call ragwheel.configure(db='ragwheel.db') at start "
        "or set RAGWHEEL_DB",
    )
    return None


def configure(  # noqa: PLR0913 - the contract's one entry point: every setting is a keyword
    db: str | os.PathLike[str] | None = None,
    *,
    app: str | None = None,
    capture_k: int | None = None,
    sample_ratio: float | None = None,
    redact: Callable[[str], str] | str | None = None,
    export_content: bool | None = None,
    exporters: Iterable[Any] | None = None,
    signing_keys: Iterable[str] | None = None,
    durability: str | None = None,
    sync_interval_s: float | None = None,
    merge_interval_s: float | None = None,
    merge_in: str | None = None,
    max_text_chars: int | None = None,
) -> Runtime:
    """Start recording. Call it once at start; a second call replaces the first.

    Arguments that are left out are taken from ``RAGWHEEL_DB``, ``RAGWHEEL_APP``, … in the environment.

    Args:
        db: the SQLite file; it is created if it is missing (default ``ragwheel.db``).
        app: the app's name, recorded with every turn and retriever.
        capture_k: at most this many chunks per retrieval are recorded, 1-1000 (default 40).
        sample_ratio: the share of traces to keep, 0-1 (default 1). The app's own sampler does not matter.
        redact: called with every text and every string in metadata before it is written anywhere; returns
            the text to write. If it fails, a note is written instead of the text. The names of built-in
            redactors are allowed, too: ``"standard"``, ``"email,secret"`` (see :mod:`ragwheel.redaction`).
        export_content: whether the spans for ``exporters`` carry texts (default False: ids, ranks and scores
            only).
        exporters: OpenTelemetry span exporters or span processors that get ragwheel's spans, too.
        signing_keys: ``"<key id>:<hex>"``, newest first; handles are signed with the first.
        durability: ``"process"`` (default): a killed process loses nothing, a power cut at most
            ``sync_interval_s``; ``"power"``: a power cut loses nothing.
        sync_interval_s: seconds between syncs to disk (default 1).
        merge_interval_s: seconds that records wait in the journal before they are merged (default 0.25).
        merge_in: what moves records into the database: a ``"thread"`` of the app (default), a ``"process"``
            of its own, or ``"auto"``: the thread, and with its first backlog of 1,000 records a process.
        max_text_chars: longer texts are cut and flagged (default 1,000,000).

    Raises:
        ConfigurationError: a setting cannot be used.
    """
    from ragwheel._version import __version__
    from ragwheel.settings import load

    global _active, _hooks_set
    if signing_keys is not None and not isinstance(signing_keys, str):
        signing_keys = tuple(signing_keys)
    arguments = {
        "db": db, "app": app, "capture_k": capture_k, "sample_ratio": sample_ratio, "redact": redact,
        "export_content": export_content,
        "exporters": tuple(exporters) if isinstance(exporters, Iterable) else exporters,
        "signing_keys": signing_keys, "durability": durability, "sync_interval_s": sync_interval_s,
        "merge_interval_s": merge_interval_s, "merge_in": merge_in, "max_text_chars": max_text_chars,
    }  # fmt: skip
    redact = redact or os.environ.get("RAGWHEEL_REDACT") or None
    arguments["redact"] = named(redact) if isinstance(redact, str) else redact
    runtime = Runtime(load(arguments), __version__)
    previous, _active = _active, runtime
    if previous is not None:
        previous.close()
    if not _hooks_set:
        _hooks_set = True
        atexit.register(shutdown)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(
                before=_each(Runtime.before_fork),
                after_in_parent=_each(Runtime.after_fork_in_parent),
                after_in_child=_each(Runtime.after_fork_in_child),
            )
    return runtime


def _each(hook: Callable[[Runtime], None]) -> Callable[[], None]:
    """Run a fork hook for every runtime."""

    def run() -> None:
        for runtime in list(_runtimes):
            with guard("forking"):
                hook(runtime)

    return run


@guard("flushing", returns=False)
def flush(timeout_s: float = 5.0) -> bool:
    """Merge everything recorded so far; True when it is all in SQLite. Takes at most about ``timeout_s``."""
    return _active.flush(timeout_s) if _active is not None else True


def shutdown() -> None:
    """Merge everything and stop recording until the next :func:`configure`. Runs by itself at exit."""
    global _active, _asked_environment
    runtime, _active = _active, None
    _asked_environment = True  # recording does not start again by itself after a shutdown
    if runtime is not None:
        with guard("shutting down"):
            runtime.close()


def stats() -> Stats:
    """Return the counts of this process so far; they are all zero if ragwheel is not configured."""
    return _active.stats() if _active is not None else Stats(errors=guard.counts())
