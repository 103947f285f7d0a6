"""The columns of the tables that the label stage reads, and of those that leave as Parquet partitions."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import pyarrow as pa

__all__ = ["CHUNK", "CHUNK_WITH_TEXT", "JUDGMENT", "PLACES", "RETRIEVAL", "SCHEMAS", "SIGNAL", "TURN",
           "WHOLE"]  # fmt: skip

RETRIEVAL: Final = pa.schema(
    {
        "rid": pa.int64(),
        "retrieval_id": pa.string(),
        "turn_id": pa.string(),
        "nested": pa.bool_(),
        "reranks": pa.bool_(),
        "source": pa.string(),
        "query": pa.string(),
        "session_id": pa.string(),
        "user_id": pa.string(),
        "start_ns": pa.int64(),
        "n_returned": pa.int32(),
        "query_key": pa.string(),
        "version": pa.string(),
        "swap_probability": pa.float64(),
        "moves": pa.string(),
        "score_best": pa.float64(),
        "score_worst": pa.float64(),
        "items": pa.list_(pa.struct({"chunk_version": pa.int64(), "score": pa.float64()})),
    }
)
PLACES: Final = pa.list_(pa.struct({"retrieval_id": pa.string(), "rank": pa.int32()}))
TURN: Final = pa.schema(
    {
        "turn_id": pa.string(),
        "session_id": pa.string(),
        "user_id": pa.string(),
        "start_ns": pa.int64(),
        "answered": pa.bool_(),
        "answer_has_text": pa.bool_(),
        "prompted_given": pa.bool_(),
        "prompted": PLACES,
        "shown": PLACES,
        "citations": PLACES,
    }
)
SIGNAL: Final = pa.schema(
    {
        "sid": pa.int64(),
        "signal_id": pa.string(),
        "kind": pa.string(),
        "about_turn": pa.bool_(),
        "target_id": pa.string(),
        "chunk": pa.string(),
        "rank": pa.int32(),
        "value": pa.float64(),
        "other": pa.string(),
        "subject": pa.string(),
        "at_ns": pa.int64(),
        "new_id": pa.string(),
        "new_key": pa.string(),
        "bot": pa.bool_(),
    }
)
CHUNK: Final = pa.schema(
    {
        "chunk_version": pa.int64(),
        "source": pa.string(),
        "chunk_id": pa.string(),
        "text_id": pa.int64(),
        "length": pa.int64(),
        "content_hash": pa.string(),
        "first_seen_ns": pa.int64(),
        "metadata": pa.string(),
    }
)
JUDGMENT: Final = pa.schema(
    {
        "judgment_id": pa.int64(),
        "query": pa.string(),
        "source": pa.string(),
        "chunk_id": pa.string(),
        "content_hash": pa.string(),
        "grade": pa.float64(),
        "judge": pa.string(),
        "human": pa.bool_(),
        "at_ns": pa.int64(),
        "query_key": pa.string(),
        "evalset": pa.string(),
        "evalset_use": pa.string(),
    }
)
CHUNK_WITH_TEXT: Final = CHUNK.append(pa.field("text", pa.string()))
#: The tables by name, with the column that says when.
SCHEMAS: Final[Mapping[str, tuple[pa.Schema, str]]] = MappingProxyType(
    {
        "retrieval": (RETRIEVAL, "start_ns"),
        "turn": (TURN, "start_ns"),
        "signal": (SIGNAL, "at_ns"),
        "chunk": (CHUNK, "first_seen_ns"),
        "judgment": (JUDGMENT, "at_ns"),
    }
)

#: What a partition has beside those columns: everything else that the store knows of the row.
WHOLE: Final[Mapping[str, pa.Schema]] = MappingProxyType(
    {
        "retrieval": pa.schema(
            [
                *RETRIEVAL,
                pa.field("trace_id", pa.string()),
                pa.field("parent_id", pa.string()),
                pa.field("outer_id", pa.string()),
                pa.field("retriever", pa.string()),
                pa.field("retriever_version", pa.string()),
                pa.field("app", pa.string()),
                pa.field("duration_ns", pa.int64()),
                pa.field("top_k", pa.int64()),
                pa.field("capture_k", pa.int64()),
                pa.field("extras", pa.string()),
                pa.field("in_ranks", pa.string()),
                pa.field("error", pa.string()),
                pa.field("flags", pa.string()),
            ]
        ),
        "turn": pa.schema(
            [
                *TURN,
                pa.field("trace_id", pa.string()),
                pa.field("parent_id", pa.string()),
                pa.field("revision", pa.int64()),
                pa.field("app", pa.string()),
                pa.field("query", pa.string()),
                pa.field("answer", pa.string()),
                pa.field("reasoning", pa.string()),
                pa.field("duration_ns", pa.int64()),
                pa.field("citation_objects", pa.string()),
                pa.field("error", pa.string()),
                pa.field("flags", pa.string()),
            ]
        ),
        "signal": pa.schema(
            [
                *SIGNAL,
                pa.field("trace_id", pa.string()),
                pa.field("event_id", pa.string()),
                pa.field("query", pa.string()),
                pa.field("received_ns", pa.int64()),
                pa.field("flags", pa.string()),
                pa.field("comment", pa.string()),
                pa.field("reason", pa.string()),
            ]
        ),
        "chunk": CHUNK_WITH_TEXT,
        "judgment": pa.schema(
            [
                *JUDGMENT,
                pa.field("judge_kind", pa.string()),
                pa.field("note", pa.string()),
                pa.field("reason", pa.string()),
            ]
        ),
    }
)
