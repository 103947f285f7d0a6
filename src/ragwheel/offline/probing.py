"""How ragwheel reads results: of a retrieval function called once, and of recorded retrievals."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

from ragwheel import runtime
from ragwheel.capture.call import Spec
from ragwheel.host import safe
from ragwheel.host.clients import opened
from ragwheel.host.fields import fields_of
from ragwheel.host.ranked import sequence
from ragwheel.host.results import read_result
from ragwheel.offline.reading import reading, rows

__all__ = ["Probe", "ProbedChunk", "ProbedSource", "probe", "probe_store"]

_MAX_CHUNKS: Final = 1_000
_RECENT: Final = 2_000
_SOURCES: Final = f"""
WITH recent AS (SELECT retrieval_id, source, flags FROM retrievals ORDER BY start_ns DESC LIMIT {_RECENT})
SELECT recent.source AS source, count(DISTINCT recent.retrieval_id) AS retrievals, count(i.rank) AS chunks,
       sum(i.chunk_id NOT LIKE 'text:%' AND i.chunk_id NOT LIKE 'unread:%') AS with_id,
       sum(coalesce(c.text, '') <> '') AS with_text, sum(i.score IS NOT NULL) AS with_score
  FROM recent LEFT JOIN impressions AS i USING (retrieval_id)
  LEFT JOIN chunks AS c ON c.chunk_version = i.chunk_version
 GROUP BY 1 ORDER BY 2 DESC, 1
"""
_FLAGS: Final = f"""
SELECT source, flags
  FROM (SELECT source, flags, start_ns FROM retrievals ORDER BY start_ns DESC LIMIT {_RECENT})
 WHERE flags IS NOT NULL
"""


@dataclass(frozen=True, slots=True)
class ProbedChunk:
    """One chunk as it would be recorded; ``metadata`` are the names of its other fields."""

    rank: int
    id: str
    text: str
    score: float | None
    metadata: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Probe:
    """How the result of one call is read.

    Attributes:
        type: the type of the result.
        unreadable: why no chunk could be read; empty if chunks were read.
        flags: what was guessed, or could not be recorded unchanged.
        total: the number of chunks.
        chunks: the first chunks.
        fields: the names of the first item's fields that can be seen without running code.
        adapter: an ``adapter=`` to start from; empty if nothing is unclear.
    """

    type: str
    unreadable: str
    flags: tuple[str, ...]
    total: int
    chunks: tuple[ProbedChunk, ...]
    fields: tuple[str, ...]
    adapter: str


@dataclass(frozen=True, slots=True)
class ProbedSource:
    """How the latest results of one source were read: counts of chunks with each part, and of flags."""

    source: str
    retrievals: int
    chunks: int
    with_id: int
    with_text: int
    with_score: int
    flags: dict[str, int]


def probe(
    function: Callable[..., Any], question: str, *, adapter: Callable[[Any], Any] | None = None
) -> Probe:
    """Call a retrieval function once, store nothing, and return how its result is read.

    A decorated function is called undecorated, and its result is read with its own ``adapter``. Exceptions of
    the function propagate. Recording in this process ends.
    """
    spec = _spec(function)
    inner = inspect.unwrap(function)
    runtime.shutdown()  # what the function calls is not recorded either
    if adapter is None and spec is not None:
        adapter = spec.adapter
    result = _called(inner, question)
    result_read = read_result(result, _MAX_CHUNKS, adapter)
    columns = result_read.columns
    texts, changes = safe.texts(columns.texts)
    chunks = tuple(
        ProbedChunk(
            rank=rank,
            id=columns.ids[rank - 1],
            text=text,
            score=columns.scores[rank - 1] if columns.scores else None,
            metadata=_names(columns.metadata[rank - 1]) if columns.metadata else (),
        )
        for rank, text in enumerate(texts, 1)
    )
    flags = tuple(dict.fromkeys((*columns.flags, *changes)))
    fields = _fields(result)
    unclear = result_read.unreadable or any(
        flag.startswith(("guessed", "no_id", "no_text", "unread")) for flag in flags
    )
    return Probe(
        type=safe.type_name(result),
        unreadable=result_read.unreadable,
        flags=flags,
        total=result_read.total,
        chunks=chunks,
        fields=fields,
        adapter=_adapter(fields) if unclear else "",
    )


def probe_store(db: str | Path) -> list[ProbedSource]:
    """Return how the results of the latest 2,000 retrievals were read, by source."""
    with reading(db) as connection:
        counts: dict[str, Counter[str]] = {}
        for row in rows(connection, _FLAGS):
            words = [
                flag.partition(": ")[0] if flag.startswith("over") else flag
                for flag in json.loads(row["flags"])
            ]
            counts.setdefault(row["source"], Counter()).update(words)
        return [
            ProbedSource(
                row["source"],
                row["retrievals"],
                row["chunks"],
                row["with_id"] or 0,
                row["with_text"] or 0,
                row["with_score"] or 0,
                dict(counts.get(row["source"], Counter()).most_common()),
            )
            for row in rows(connection, _SOURCES)
        ]


def _spec(function: Callable[..., Any]) -> Spec | None:
    """Return the decorator's settings of a decorated function."""
    for cell in getattr(function, "__closure__", None) or ():
        if isinstance(cell.cell_contents, Spec):
            return cell.cell_contents
    return None


def _called(function: Callable[..., Any], question: str) -> Any:
    result = function(question)
    if inspect.isawaitable(result):

        async def awaited() -> Any:
            return await result

        return asyncio.run(awaited())
    if inspect.isasyncgen(result):

        async def collected() -> list[Any]:
            return [item async for item in result][:_MAX_CHUNKS]

        return asyncio.run(collected())
    return list(islice(result, _MAX_CHUNKS)) if inspect.isgenerator(result) else result


def _fields(result: Any) -> tuple[str, ...]:
    """Return the names of the fields of the first item, or of the result."""
    try:
        listed = sequence(opened(result, 1), 1)
        first = listed.items[0] if listed is not None and listed.items else result
        return _names(fields_of(opened(first, 1)))
    except Exception:  # noqa: BLE001 - the host's own code; its fields stay unknown
        return ()


def _names(mapping: Any) -> tuple[str, ...]:
    return tuple(str(name)[:60] for name in islice(mapping or (), 40) if isinstance(name, (str, int)))


def _adapter(fields: tuple[str, ...]) -> str:
    """Return an adapter for one item, with the existing fields as a comment."""
    seen = f"  # the item has: {', '.join(fields)}" if fields else ""
    return (
        f"def adapter(item):{seen}\n"
        '    return {"id": item[...], "text": item[...], "score": item[...], "metadata": {...}}\n\n'
        "@ragwheel.retriever(adapter=adapter)"
    )
