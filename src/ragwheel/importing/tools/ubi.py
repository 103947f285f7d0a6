"""User Behavior Insights (OpenSearch, Solr): queries with their hits, and events of people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from ragwheel.importing.keys import other_key, trace_key
from ragwheel.importing.passages import passages
from ragwheel.importing.records import Feedback, Neutral, RetrievedPassage, ToolSpan
from ragwheel.importing.tools.base import Tool
from ragwheel.importing.values import first, number, parse_loosely, scalar_text, time_ns, whole
from ragwheel.kinds import UBI_ACTIONS

__all__ = ["UBI"]


class UBI(Tool):
    """UBI. Queries name their hits by id; ``--corpus`` adds the texts."""

    name: ClassVar[str] = "ubi"
    title: ClassVar[str] = "User Behavior Insights"
    looks_for: ClassVar[str] = "queries with query_id and user_query, events with query_id and action_name"

    def recognises(self, record: Mapping[str, Any]) -> bool:
        """Recognise queries and events, bare or as hits of the index that stores them."""
        record = _source(record)
        return "query_id" in record and bool(
            {"user_query", "action_name", "query_response_hit_ids"} & record.keys()
        )

    def read(self, record: Mapping[str, Any]) -> Iterator[Neutral]:
        """Read a query as a retrieval, an event as a signal."""
        record = _source(record)
        trace = trace_key(record["query_id"])
        if trace is None:
            return
        if "action_name" in record:
            yield self._event(record, trace)
            return
        hits = parse_loosely(record.get("query_response_hit_ids"))
        listed = passages(parse_loosely(record.get("query_response_hits")), texts=True)
        start = time_ns(record.get("timestamp"))
        yield ToolSpan(
            self.name,
            trace,
            other_key("ubi", record["query_id"]),
            None,
            scalar_text(record.get("application")) or "search",
            "retriever",
            start,
            start,
            query=scalar_text(record.get("user_query")),
            passages=listed or [RetrievedPassage(id=str(hit)) for hit in hits]
            if isinstance(hits, list)
            else listed or [],
            session=scalar_text(record.get("session_id")),
            user=scalar_text(first(record, ("user_id", "client_id"))),
            app=scalar_text(record.get("application")),
        )

    def _event(self, record: Mapping[str, Any], trace: bytes) -> Feedback:
        attributes = parse_loosely(record.get("event_attributes"))
        attributes = attributes if isinstance(attributes, Mapping) else {}
        subject, position = attributes.get("object"), attributes.get("position")
        chunk = (
            scalar_text(first(subject, ("object_id", "internal_id")))
            if isinstance(subject, Mapping)
            else None
        )
        ordinal = whole(position.get("ordinal")) if isinstance(position, Mapping) else None
        action = str(record["action_name"])
        kind = UBI_ACTIONS.get(action, action)
        at_ns = time_ns(record.get("timestamp"))
        who = [record.get(key) for key in ("client_id", "session_id", "user_id")]
        return Feedback(
            self.name,
            str(record.get("event_id") or other_key(trace, action, chunk, ordinal, at_ns, *who).hex()),
            action,
            trace,
            other_key("ubi", record["query_id"]),
            position=ordinal - 1 if ordinal is not None and ordinal > 0 and chunk is None else None,
            document=chunk,
            comment=scalar_text(record.get("message")) if kind.startswith("thumbs") else None,
            author="person",
            subject=scalar_text(first(record, ("user_id", "client_id"))),
            at_ns=at_ns,
            kind=kind,
            value=number(first(attributes, ("dwell_time", "value"))),
        )


def _source(record: Mapping[str, Any]) -> Mapping[str, Any]:
    inner = record.get("_source")
    return inner if isinstance(inner, Mapping) else record
