"""Grades as annotations for Phoenix or scores for Langfuse, to show them beside the traces there.

Each file is the body of one request of the tool's API. Ids are derived from the content, so sending a file
again replaces what was sent before. The annotations are marked as made by a program, so that an import of
those traces does not take them for a person's feedback.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from datetime import datetime, timezone
from hashlib import blake2b
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from ragwheel.errors import ConfigurationError, DatasetError
from ragwheel.labels import graded
from ragwheel.labels.traces.text import query_key
from ragwheel.store import open_store

__all__ = ["ANNOTATION_FORMATS", "export_annotations"]

NAME: Final = "ragwheel"
_RANKED: Final = """
    SELECT r.retrieval_id, r.trace_id, r.query, r.start_ns, i.rank, i.source, i.chunk_id, i.chunk_version
      FROM retrievals r JOIN impressions i USING (retrieval_id)
     WHERE r.outer_id IS NULL AND r.kind = 'retrieval' ORDER BY r.start_ns, r.retrieval_id, i.rank"""


class GradedPosition(NamedTuple):
    """A ranked chunk of a retrieval with its grade."""

    span_id: str
    trace_id: str
    position: int
    chunk_id: str
    belief: float
    confidence: float
    status: str
    reason: str
    at_ns: int


def export_annotations(
    db: str | Path,
    format: str,  # noqa: A002
    out: str | Path,
    *,
    policy: str | Path | None = None,
) -> dict[str, int]:
    """Write the grades of all ranked chunks for another tool's API; return how many were written.

    Chunks for which the labels abstain are left out.

    Args:
        db: the database.
        format: a key of :data:`ANNOTATION_FORMATS`.
        out: the JSON file; an earlier one of this name is replaced.
        policy: a TOML file of the label policy; None: the packaged one.

    Raises:
        StoreError: the database cannot be read.
        ConfigurationError: there is no such format.
        DatasetError: the file cannot be written.
    """
    if format not in ANNOTATION_FORMATS:
        raise ConfigurationError(f"There is no format {format!r}; allowed: {', '.join(ANNOTATION_FORMATS)}.")
    positions = list(_positions(db, policy))
    body = ANNOTATION_FORMATS[format](positions)
    try:
        Path(out).write_text(json.dumps(body, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    except OSError as exc:
        raise DatasetError(f"{out} cannot be written: {exc.strerror}.") from exc
    return {
        "graded passages": len(positions),
        "retrievals": len({position.span_id for position in positions}),
    }


def _positions(db: str | Path, policy: str | Path | None) -> Iterator[GradedPosition]:
    grades = {
        (row["query_key"], row["chunk_version"]): row
        for row in graded(db, policy=policy).to_pylist()
        if row["belief"] is not None and row["status"] != "abstain"
    }
    with closing(open_store(db, require_traces=True)) as connection:
        for span_id, trace_id, query, start_ns, rank, _, chunk_id, version in connection.execute(_RANKED):
            row = grades.get((query_key(query), version))
            if row is not None:
                reason = str(row["reason"] or row["status"])
                yield GradedPosition(
                    span_id,
                    trace_id,
                    rank - 1,
                    chunk_id,
                    row["belief"],
                    row["confidence"],
                    row["status"],
                    reason,
                    start_ns,
                )


def _openinference(positions: list[GradedPosition]) -> dict[str, Any]:
    """Return the body for Phoenix's ``POST /v1/document_annotations``."""
    return {
        "data": [
            {
                "span_id": position.span_id,
                "document_position": position.position,
                "name": NAME,
                "annotator_kind": "CODE",
                "result": {
                    "score": round(position.belief, 4),
                    "label": "relevant" if position.belief >= 0.5 else "irrelevant",
                    "explanation": position.reason,
                },
            }
            for position in positions
        ]
    }


def _langfuse(positions: list[GradedPosition]) -> dict[str, Any]:
    """Return the body for Langfuse's ``POST /api/public/ingestion``: one score per passage."""
    return {
        "batch": [
            {
                "id": _id(position, "event"),
                "type": "score-create",
                "timestamp": datetime.fromtimestamp(position.at_ns / 1e9, timezone.utc).isoformat(),
                "body": {
                    "id": _id(position, "score"),
                    "traceId": position.trace_id,
                    "observationId": position.span_id,
                    "name": f"{NAME}-relevance",
                    "value": round(position.belief, 4),
                    "dataType": "NUMERIC",
                    "comment": f"{position.chunk_id} (rank {position.position + 1}): {position.reason}",
                    "metadata": {"document_position": position.position, "chunk_id": position.chunk_id},
                },
            }
            for position in positions
        ]
    }


def _id(position: GradedPosition, kind: str) -> str:
    return blake2b(f"{kind}:{position.span_id}:{position.position}".encode(), digest_size=16).hexdigest()


#: The function that makes the body of a request, by the name of the format.
ANNOTATION_FORMATS: Final[Mapping[str, Callable[[list[GradedPosition]], dict[str, Any]]]] = MappingProxyType(
    {"openinference": _openinference, "langfuse-scores": _langfuse}
)
