"""Export of traces in formats of other tools: TREC runs, and UBI queries and events.

UBI is User Behavior Insights, version 1.3 (https://o19s.github.io/ubi/docs/html/1.3.0/, the schemas of
OpenSearch's plugin): a query with the ids of its hits, and events about one of them at a position.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from datetime import datetime, timezone
from hashlib import blake2b
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import quote

from ragwheel.datasets.document_ids import document_id, several_sources
from ragwheel.datasets.formats.lines import write_json_lines, write_lines
from ragwheel.errors import ConfigurationError
from ragwheel.exporting.write import check_new
from ragwheel.files import replace_folder
from ragwheel.labels.traces.text import query_key
from ragwheel.store import open_store
from ragwheel.store.connect import explain

__all__ = ["TRACE_WRITERS", "export_traces"]

#: The UBI action name of each kind of signal: UBI's own name if it has one, else ours.
_ACTIONS: Final = MappingProxyType({"convert": "purchase", "expand": "view", "dwell": "watch"})
_ID_LENGTH: Final = 100
_OBJECT_LENGTH: Final = 256
_FILE_NAME_LENGTH: Final = 200  # bytes; file systems allow 255, some of them less


def export_traces(db: str | Path, format: str, out: str | Path) -> dict[str, int]:  # noqa: A002
    """Write the traces of a store in another format; return the number of records in each file.

    ``ubi`` writes ``ubi_queries.jsonl`` and ``ubi_events.jsonl``. ``trec-run`` writes a file
    ``{retriever}.run`` for each retriever, with its latest recorded ranking of every query.

    Args:
        db: the database.
        format: a key of :data:`TRACE_WRITERS`.
        out: a new or empty folder, which is written atomically.

    Raises:
        StoreError: the database cannot be read.
        DatasetError: ``out`` is not empty.
        ConfigurationError: there is no such format.
    """
    if format not in TRACE_WRITERS:
        raise ConfigurationError(f"There is no format {format!r}; allowed: {', '.join(TRACE_WRITERS)}.")
    out = Path(out)
    check_new(out)
    try:
        with closing(open_store(db, require_traces=True)) as connection, replace_folder(out) as folder:
            connection.row_factory = sqlite3.Row
            return TRACE_WRITERS[format](connection, folder)
    except sqlite3.Error as exc:
        raise explain(exc, Path(db)) from exc


def _ubi(connection: sqlite3.Connection, out: Path) -> dict[str, int]:
    return {
        "ubi_queries.jsonl": write_json_lines(out / "ubi_queries.jsonl", _queries(connection)),
        "ubi_events.jsonl": write_json_lines(out / "ubi_events.jsonl", _events(connection)),
    }


_HITS: Final = """
    SELECT r.retrieval_id, r.turn_id, r.app, r.source, r.retriever, r.version, r.query, r.session_id,
           r.user_id, r.start_ns, r.n_returned,
           (SELECT json_group_array(chunk_id) FROM (SELECT i.chunk_id FROM impressions i
             WHERE i.retrieval_id = r.retrieval_id AND i.rank <= r.n_returned ORDER BY i.rank)) AS hits
      FROM retrievals r WHERE r.outer_id IS NULL ORDER BY r.start_ns, r.retrieval_id"""


def _queries(connection: sqlite3.Connection) -> Iterator[dict[str, Any]]:
    for row in connection.execute(_HITS):
        yield _without_none(
            {
                "application": _cut(row["app"] or row["source"]),
                "query_id": row["retrieval_id"],
                "client_id": _cut(row["user_id"] or row["session_id"]),
                "user_query": row["query"],
                "query_attributes": _without_none(
                    {
                        "retriever": row["retriever"],
                        "version": row["version"],
                        "session_id": row["session_id"],
                    }
                ),
                "timestamp": _time(row["start_ns"]),
                "query_response_id": row["turn_id"] or row["retrieval_id"],
                "query_response_hit_ids": [_object(load) for load in json.loads(row["hits"])],
            }
        )


_SIGNALS: Final = """
    SELECT g.signal_id, g.kind, g.rank, g.chunk_id, g.value, g.at_ns, g.subject, r.retrieval_id, r.app,
           r.source, r.session_id
      FROM signals g JOIN retrievals r ON r.retrieval_id = g.retrieval_id ORDER BY g.at_ns, g.signal_id"""
_SHOWN: Final = """
    SELECT i.rank, i.chunk_id, r.start_ns AS at_ns, r.user_id AS subject, r.retrieval_id, r.app, r.source,
           r.session_id
      FROM impressions i JOIN retrievals r ON r.retrieval_id = i.retrieval_id
     WHERE i.exposure = 'shown' ORDER BY r.start_ns, r.retrieval_id, i.rank"""


def _events(connection: sqlite3.Connection) -> Iterator[dict[str, Any]]:
    """Yield impressions of shown chunks, then signals. Only events about a chunk have a position."""
    for row in connection.execute(_SHOWN):
        yield _event(row, "impression", None)
    for row in connection.execute(_SIGNALS):
        if row["kind"] != "impression":  # already among the shown chunks
            yield _event(row, _ACTIONS.get(row["kind"], row["kind"]), row["value"])


def _event(row: sqlite3.Row, action: str, value: float | None) -> dict[str, Any]:
    attributes = None
    if row["chunk_id"] is not None and row["rank"] is not None:
        attributes = _without_none(
            {
                "object": {"object_id": _object(row["chunk_id"]), "object_id_type": "chunk"},
                "position": {"ordinal": row["rank"]},
                "value": value,
            }
        )
    return _without_none(
        {
            "application": _cut(row["app"] or row["source"]),
            "action_name": action[:_ID_LENGTH],
            "query_id": row["retrieval_id"],
            "session_id": _cut(row["session_id"]),
            "client_id": _cut(row["subject"] or row["session_id"]),
            "user_id": _cut(row["subject"]),
            "timestamp": _time(row["at_ns"]),
            "event_attributes": attributes,
        }
    )


def _without_none(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value not in (None, "")}


def _cut(text: str | None) -> str | None:
    return text[:_ID_LENGTH] if text else None


def _object(chunk_id: str) -> str:
    return chunk_id[:_OBJECT_LENGTH]


def _time(ns: int) -> str:
    return datetime.fromtimestamp(ns / 1e9, timezone.utc).isoformat(timespec="milliseconds")


_LATEST: Final = """
    SELECT retrieval_id, source, retriever, version, query FROM retrievals
     WHERE outer_id IS NULL AND error IS NULL ORDER BY start_ns, retrieval_id"""
_RANKED: Final = "SELECT rank, source, chunk_id FROM impressions WHERE retrieval_id = ? ORDER BY rank"


def _runs(connection: sqlite3.Connection, out: Path) -> dict[str, int]:
    """Write the runs. Scores are n - rank + 1, since a retriever's own may be better when lower."""
    latest: dict[str, dict[str, str]] = {}
    sources = connection.execute("SELECT DISTINCT source FROM chunks")
    several = several_sources(row["source"] for row in sources)
    for row in connection.execute(_LATEST):
        name = "-".join(filter(None, (row["source"], row["retriever"], row["version"])))
        if key := query_key(row["query"]):
            latest.setdefault(name, {})[key] = row["retrieval_id"]
    sizes = {}
    for name, retrievals in sorted(latest.items()):
        run = _file_name(name)
        sizes[f"{run}.run"] = write_lines(out / f"{run}.run", _run(connection, run, retrievals, several))
    return sizes


def _file_name(name: str) -> str:
    """Return a name as a file name: percent-encoded, and a long one shortened with its hash at the end."""
    quoted = quote(name, safe="")
    if len(quoted) <= _FILE_NAME_LENGTH:
        return quoted
    digest = blake2b(name.encode(), digest_size=8).hexdigest()
    return re.sub(r"%[0-9A-F]?$", "", quoted[: _FILE_NAME_LENGTH - len(digest) - 1]) + f"-{digest}"


def _run(
    connection: sqlite3.Connection, name: str, retrievals: Mapping[str, str], several: bool
) -> Iterator[str]:
    for key, retrieval in retrievals.items():
        ranked = connection.execute(_RANKED, (retrieval,)).fetchall()
        seen: set[str] = set()
        for row in ranked:
            document = document_id(row["source"], row["chunk_id"], several=several)
            if document not in seen:  # a run has a document only once
                seen.add(document)
                yield f"{key} Q0 {document} {len(seen)} {len(ranked) - len(seen) + 1} {name}"


#: The writers of formats that are made from a store rather than from a dataset folder.
TRACE_WRITERS: Final[Mapping[str, Callable[[sqlite3.Connection, Path], dict[str, int]]]] = MappingProxyType(
    {"ubi": _ubi, "trec-run": _runs}
)
