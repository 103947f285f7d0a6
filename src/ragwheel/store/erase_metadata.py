"""Metadata of chunks that stay when a retrieval that showed them is erased.

A chunk version is stored with the metadata of the retrieval that first had it, and every other retrieval with
what differed there. Highlights, rewritten queries and the like are the question in other words: metadata that
no remaining retrieval had goes, and another one's takes its place.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

__all__ = ["echoes", "replace_metadata"]

Metadata = dict[str, Any]

_UNSUPPORTED: Final = """
    SELECT chunk_id, metadata FROM _chunk
     WHERE metadata IS NOT NULL AND chunk_id IN (SELECT chunk_id FROM touched_chunk)
       AND chunk_id NOT IN (
           SELECT e.value FROM _retrieval r, json_each(r.chunks) e
            WHERE e.value IN (SELECT chunk_id FROM touched_chunk)
              AND (r.extras IS NULL OR json_type(r.extras, '$."' || (e.key + 1) || '"') IS NULL))
"""
_BATCH: Final = 1000
_NEXT: Final = "SELECT id, start_ns, chunks, extras FROM _retrieval WHERE id > ? ORDER BY id LIMIT ?"
_KEPT: Final = """
    SELECT s.name, c.app_id, c.metadata, t.body FROM touched_chunk k JOIN _chunk c USING (chunk_id)
      JOIN _source s USING (source_id) JOIN _text t USING (text_id) ORDER BY 1, 2
"""
_TAG: Final = re.compile(r"<[^<>]{1,100}>")


class _Impression(NamedTuple):
    """The metadata that the earliest remaining retrieval showed a chunk with."""

    start_ns: int
    metadata: Metadata


def replace_metadata(connection: sqlite3.Connection) -> None:
    """Give each chunk of ``touched_chunk`` that stays the metadata of a retrieval that stays, or none."""
    stored = {chunk: json.loads(metadata) for chunk, metadata in connection.execute(_UNSUPPORTED)}
    if not stored:
        return
    earliest: dict[int, _Impression] = {}
    for _, start_ns, extras, ranks in _retrievals(connection, stored):
        for rank, chunk in ranks:
            if chunk not in earliest or start_ns < earliest[chunk].start_ns:
                earliest[chunk] = _Impression(start_ns, _applied(stored[chunk], extras.get(rank, {})))
    for retrieval, _, extras, ranks in _retrievals(connection, stored):
        for rank, chunk in ranks:
            shown = _applied(stored[chunk], extras.pop(rank, {}))
            if difference := _difference(earliest[chunk].metadata, shown):
                extras[rank] = difference
        connection.execute("UPDATE _retrieval SET extras = ? WHERE id = ?", (_json(extras), retrieval))
    for chunk in stored:
        first = earliest.get(chunk)
        connection.execute(
            "UPDATE _chunk SET metadata = ?, first_seen_ns = coalesce(?, first_seen_ns) WHERE chunk_id = ?",
            (_json(first.metadata if first else None), first.start_ns if first else None, chunk),
        )


def _retrievals(
    connection: sqlite3.Connection, chunks: Collection[int]
) -> Iterator[tuple[int, int, dict[str, Metadata], list[tuple[str, int]]]]:
    """Id, start and extras of each retrieval that has some of the chunks, and those with their ranks."""
    last = -1
    while rows := connection.execute(_NEXT, (last, _BATCH)).fetchall():
        for retrieval, start_ns, packed, extras in rows:
            ranks = [(str(n), chunk) for n, chunk in enumerate(json.loads(packed), 1) if chunk in chunks]
            if ranks:
                yield retrieval, start_ns, json.loads(extras) if extras else {}, ranks
        last = rows[-1][0]


def _applied(stored: Metadata, changed: Mapping[str, Any]) -> Metadata:
    """The metadata of an impression: the version's, with what differed; null: it was not there."""
    return {key: value for key, value in {**stored, **changed}.items() if value is not None}


def _difference(stored: Metadata, shown: Metadata) -> Metadata:
    changed = {key: value for key, value in shown.items() if key not in stored or stored[key] != value}
    return changed | dict.fromkeys(stored.keys() - shown.keys())


def _json(value: object) -> str | None:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")) if value else None


def echoes(connection: sqlite3.Connection, texts: Iterable[str]) -> tuple[str, ...]:
    """Chunks of ``touched_chunk`` that stay, as ``source/id (where)``, in which one of the texts stands.

    Markup and case are looked through. Others were shown these chunks with these very words.
    """
    wanted = [plain for plain in map(_plain, texts) if len(plain) >= 6]
    found: dict[str, None] = {}
    for source, chunk, metadata, body in connection.execute(_KEPT):
        for where, text in (("metadata", _joined(metadata)), ("text", body)):
            plain = _plain(text)
            if any(words in plain for words in wanted):
                found[f"{source}/{chunk} ({where})"] = None
    return tuple(found)


def _joined(metadata: str | None) -> str:
    """All texts in metadata, keys too, one after the other."""
    parts: list[str] = []
    waiting = [json.loads(metadata)] if metadata else []
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting += [*value, *value.values()]
        elif isinstance(value, list):
            waiting += value
        elif isinstance(value, str):
            parts.append(value)
    return "\n".join(parts)


def _plain(text: str) -> str:
    return " ".join(_TAG.sub("", text).casefold().split())
