"""Checks of a database: whether it is sound, what waits in the journal, and whether anything was lost."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ragwheel.journal.files import is_unsafe, release_segment, resolved, segment_folder, segments, try_adopt
from ragwheel.offline import environment
from ragwheel.offline.findings import Finding, Severity, size
from ragwheel.offline.reading import number, reading, rows
from ragwheel.store import SCHEMA_VERSION, connect
from ragwheel.store.connect import explain
from ragwheel.store.counts import LOST
from ragwheel.store.unreadable import unreadable_retrievals

__all__ = ["Finding", "Severity", "doctor"]

WAL_RESET_DEFECT = ((3, 7, 0), (3, 51, 2))  # https://sqlite.org/wal.html, "The WAL-Reset Bug"


LARGE_WAL_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Waiting:
    """The unmerged part of the journal; ``orphans`` are segments of processes that have ended."""

    segments: int
    orphans: int
    bytes: int


def doctor(db: str | Path) -> list[Finding]:
    """Check the file, SQLite, the journal and the counts, after merging the journal like every reader.

    Raises :class:`~ragwheel.errors.StoreError` when the file cannot be opened as one of ragwheel's at
    all (see :func:`ragwheel.store.open_store`); damage inside a readable file is a finding.
    """
    path = resolved(db)
    before = _waiting(path)
    with _opened(path) as connection:
        after = _waiting(path)
        checks: tuple[tuple[str, Callable[[], list[Finding]]], ...] = (
            ("file", lambda: _file(connection, path)),
            ("disk", lambda: environment.file_system(path)),
            ("access", lambda: environment.access(path)),
            ("sqlite", _sqlite),
            ("journal", lambda: _journal(before, after)),
            ("clock", lambda: environment.clock(connection)),
            ("results", lambda: _results(connection)),
            ("records", lambda: _records(connection)),
            ("dropped", lambda: _drops(connection)),
            ("signals", lambda: _unmatched(connection)),
            ("turns", lambda: _outside_turns(connection)),
            ("integrity", lambda: _integrity(connection, path)),
        )
        return [finding for name, look in checks for finding in _checked(name, look)]


def _opened(path: Path) -> contextlib.AbstractContextManager[sqlite3.Connection]:
    """Open the database and merge its journal, unless others can write to the journal's folder."""
    folder = segment_folder(path)
    if not (folder.is_dir() and is_unsafe(folder)):
        return reading(path)
    connection = connect(path, write=False)
    connection.row_factory = sqlite3.Row
    return contextlib.closing(connection)


def _checked(check: str, look: Callable[[], list[Finding]]) -> list[Finding]:
    """Run a check. A page that SQLite cannot read becomes a finding; a locked file is an error."""
    try:
        return look()
    except sqlite3.OperationalError:
        raise
    except sqlite3.DatabaseError as error:
        return [Finding("error", check, f"cannot be read: {error}", "see integrity")]


def _file(connection: sqlite3.Connection, path: Path) -> list[Finding]:
    version = number(connection, "PRAGMA user_version")
    wal = path.with_name(path.name + "-wal")
    wal_bytes = wal.stat().st_size if wal.exists() else 0
    findings = [
        Finding(
            "ok",
            "file",
            f"{path.resolve()}, {size(path.stat().st_size)}, write-ahead log {size(wal_bytes)}, "
            f"schema {version} of {SCHEMA_VERSION}",
        )
    ]
    if wal_bytes > max(LARGE_WAL_BYTES, path.stat().st_size):
        findings.append(
            Finding(
                "warning",
                "wal",
                f"the write-ahead log has {size(wal_bytes)}, because somebody has kept a reading transaction "
                f"open all the while",
                f"see who has it open: fuser {path}",
            )
        )
    return findings


def _sqlite() -> list[Finding]:
    low, high = WAL_RESET_DEFECT
    version = f"SQLite {sqlite3.sqlite_version}"
    if low <= sqlite3.sqlite_version_info <= high:
        return [
            Finding(
                "note",
                "sqlite",
                f"{version} has the WAL-reset defect of 3.7.0-3.51.2, which needs two writers at once; "
                "avoided here: a lock admits a single merger to this database",
                "write to the file with ragwheel only",
            )
        ]
    return [Finding("ok", "sqlite", f"{version}, without the WAL-reset defect of 3.7.0-3.51.2")]


def _waiting(path: Path) -> Waiting:
    """Return how much of the journal is not in SQLite yet."""
    merged: dict[str, int] = {}
    if path.is_file() and path.stat().st_size:
        connection = connect(path, write=False)
        try:
            if number(connection, "PRAGMA user_version"):
                merged = dict(connection.execute("SELECT name, position FROM _segment").fetchall())
        except sqlite3.Error as error:
            raise explain(error, path) from error
        finally:
            connection.close()
    n_segments = orphans = waiting_bytes = 0
    for segment in segments(path):
        try:
            owned = try_adopt(segment)
            waiting_bytes += max(0, segment.stat().st_size - merged.get(segment.name, 0))
        except FileNotFoundError:
            continue  # another process has just merged and removed it
        n_segments += 1
        if owned is not None:
            orphans += 1
            release_segment(owned)
    return Waiting(n_segments, orphans, waiting_bytes)


def _journal(before: Waiting, after: Waiting) -> list[Finding]:
    text = (
        f"{before.segments} segments, {before.orphans} of them left by ended processes, "
        f"{size(before.bytes)} waited; now {size(after.bytes)} wait"
    )
    if before.segments == 0:
        return [Finding("ok", "journal", "empty: everything that was recorded is in SQLite")]
    if after.orphans:
        return [
            Finding(
                "warning", "journal", text, "run ragwheel doctor again: an ended process left more meanwhile"
            )
        ]
    return [Finding("ok", "journal", text)]


def _records(connection: sqlite3.Connection) -> list[Finding]:
    row = rows(
        connection,
        "SELECT coalesce(sum(records), 0) AS merged, coalesce(sum(damaged), 0) AS damaged FROM _segment",
    )[0]
    text = f"{row['merged']:,} records merged from the journal"
    missing = _missing(connection)
    if missing:
        return [
            Finding(
                "error",
                "records",
                f"{text}; {missing:,} of their rows are gone from the database, and ragwheel did not "
                f"remove them",
                "restore a backup; remove rows with ragwheel erase or ragwheel prune only",
            )
        ]
    if row["damaged"]:
        return [
            Finding(
                "warning",
                "records",
                f"{text}; {size(row['damaged'])} of it were damaged and stepped over",
                "check the disk: a power cut or a full disk while writing does this",
            )
        ]
    return [Finding("ok", "records", text + ", none damaged")]


def _missing(connection: sqlite3.Connection) -> int:
    """Return how many of the rows merged from segments are missing, apart from erased and pruned ones."""
    expected = number(
        connection,
        "SELECT (SELECT coalesce(sum(records - repeated), 0) FROM _segment)"
        " + coalesce((SELECT n FROM _account WHERE name = 'before'), 0)"
        " - coalesce((SELECT n FROM _account WHERE name = 'removed'), 0)",
    )
    stored = number(
        connection,
        "SELECT (SELECT count(*) FROM _retrieval) + (SELECT count(*) FROM _turn)"
        " + (SELECT count(*) FROM _signal)",
    )
    return max(expected - stored, 0)


def _results(connection: sqlite3.Connection) -> list[Finding]:
    """Report retrievals with unreadable results, which cannot be used for training."""
    return [
        Finding(
            "error",
            "results",
            f"{each.retrievals:,} of {each.total:,} results of {each.source} could not be read: "
            f"{each.reason}. They are kept without chunks and make no examples",
            'see how the result is read: ragwheel probe MODULE:FUNCTION "a question"; then say it with '
            "adapter= or ragwheel.reads()",
        )
        for each in unreadable_retrievals(connection)
    ]


def _drops(connection: sqlite3.Connection) -> list[Finding]:
    counts = rows(
        connection,
        "SELECT reason, sum(n) AS n FROM _drop GROUP BY reason HAVING sum(n) > 0 ORDER BY n DESC, reason",
    )
    if not counts:
        return [
            Finding("ok", "dropped", "nothing: every record that was emitted is stored or in the journal")
        ]
    return [
        Finding(
            "error",
            "dropped",
            f"{row['n']:,} records are lost: their journal was deleted or moved before it was merged, or the "
            f"database that had them was replaced",
            "put the folder <database>.segments back where it was: its records are merged then",
        )
        if row["reason"] == LOST
        else Finding(
            "warning",
            "dropped",
            f"{row['n']:,} records: {row['reason']}",
            "see the log of the app for the first of each",
        )
        for row in counts
    ]


def _outside_turns(connection: sqlite3.Connection) -> list[Finding]:
    """Report turns that cite chunks they did not retrieve, if there are retrievals outside of turns."""
    count = number(connection, "SELECT count(*) FROM turns WHERE flags LIKE '%retrievals_outside_turn%'")
    if not count:
        return []
    return [
        Finding(
            "warning",
            "turns",
            f"{count:,} answers cite chunks that their turns did not retrieve, while others were retrieved "
            "outside of every turn: threads, tasks or generators that do not know it",
            "pass turn.run or turn.bind: docs/streaming.md",
        )
    ]


def _unmatched(connection: sqlite3.Connection) -> list[Finding]:
    reasons = rows(
        connection,
        "SELECT reason, count(*) AS n FROM unmatched_signals GROUP BY reason ORDER BY n DESC, reason",
    )
    if not reasons:
        return [Finding("ok", "signals", "every signal matches a recorded chunk, retrieval or turn")]
    text = "; ".join(f"{row['n']:,}: {row['reason']}" for row in reasons)
    return [
        Finding("note", "signals", f"not evidence until matched: {text}", "SELECT * FROM unmatched_signals")
    ]


def _integrity(connection: sqlite3.Connection, path: Path) -> list[Finding]:
    try:
        faults = [row[0] for row in connection.execute("PRAGMA quick_check(5)")]
    except sqlite3.OperationalError:
        raise
    except sqlite3.DatabaseError as error:
        faults = [str(error)]
    if faults == ["ok"]:
        return [Finding("ok", "integrity", "SQLite's quick check found no damage")]
    return [
        Finding(
            "error",
            "integrity",
            f"SQLite reports damage: {'; '.join(faults)[:300]}",
            f'sqlite3 {path} ".recover" | sqlite3 rescued.db, or restore a backup',
        )
    ]
