"""JSON documents, JSON lines and concatenated documents, read record by record in bounded memory.

The envelopes around records (``data``, ``spans``, ``resourceSpans`` …) are opened, and the records in them
are yielded one by one. Other values in an envelope (``info`` of an MLflow trace, ``resource`` of an OTLP
request) become a record of their own or are added to each record. A broken line is counted and skipped. Of a
truncated file the complete records are read.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import IO, Any, Final

import msgspec

from ragwheel.importing.containers.frames import frame_rows, is_frame

__all__ = ["ENVELOPES", "RESOURCE", "read_json", "unwrapped"]

READ_BYTES: Final = 4 * 1024 * 1024
MAX_RECORD_CHARS: Final = 64 * 1024 * 1024
RESOURCE: Final = "@resource"
"""The key under which a span's record carries its resource and scope."""

ENVELOPES: Final = frozenset(
    {
        "data",
        "spans",
        "runs",
        "feedback",
        "feedbacks",
        "scores",
        "traces",
        "observations",
        "resourceSpans",
        "resource_spans",
        "scopeSpans",
        "scope_spans",
        "instrumentationLibrarySpans",
        "edges",
        "node",
        "content",
        "items",
        "results",
        "calls",
        "events",
        "records",
        "rows",
        "getProjectByName",
        "batches",
        "hits",
        "annotations",
        "evaluations",
    }
)
_NESTED: Final = frozenset(
    {
        "resourceSpans",
        "resource_spans",
        "scopeSpans",
        "scope_spans",
        "instrumentationLibrarySpans",
        "edges",
        "batches",
    }
)
_AROUND: Final = frozenset({
    "resource", "scope", RESOURCE, "trace_id", "meta", "links", "page", "pagination", "_shards",
    "errors", "extensions", "processes", "traceID", "warnings",
})  # fmt: skip
"""Keys of an envelope that say nothing about the records in it."""
_LEAF_MARKS: Final = frozenset(
    {
        "span_id",
        "spanId",
        "trace_id",
        "traceId",
        "run_id",
        "run_type",
        "op_name",
        "action_name",
        "query_id",
        "context",
        "attributes",
        "record_attributes",
        "inputs",
        "input",
        "page_content",
        "_id",
        "user_query",
    }
)
_OF_SPANS: Final = frozenset({"events", "content", "items", "results", "records", "rows", "hits"})
"""Names of envelopes that are also fields of a span, where they hold no records."""
_SPACE: Final = re.compile(r"[\s,\ufeff]*")
_NEXT_START: Final = re.compile(r"\n\s*(?=[{\[])")


class _Truncated(Exception):
    """The file ends within a value."""


class _Text:
    """A sliding window over the decoded file: more text is read at its end and dropped at its start."""

    def __init__(self, file: IO[bytes], progress: Callable[[int], None]) -> None:
        import codecs

        self._file, self._progress = file, progress
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._read = 0
        self.buffer, self.at, self.ended = "", 0, False

    def more(self) -> bool:
        """Read more text; False at the end of the file."""
        if self.ended:
            return False
        raw = self._file.read(max(READ_BYTES, len(self.buffer) - self.at))
        self._read += len(raw)
        self._progress(self._read)
        self.ended = not raw
        self.buffer = self.buffer[self.at :] + self._decoder.decode(raw, final=self.ended)
        self.at = 0
        return True

    def skip(self) -> str:
        """Return the next character that is neither blank nor comma without consuming it; "" at the end."""
        while True:
            match = _SPACE.match(self.buffer, self.at)
            self.at = match.end() if match else self.at
            if self.at < len(self.buffer):
                return self.buffer[self.at]
            if not self.more():
                return ""

    def value(self) -> Any:
        """Consume the next JSON value.

        Raises:
            _Truncated: the file ends within the value, or the value is longer than a record may be.
            ValueError: it is not JSON.
        """
        self.skip()
        while True:
            try:
                value, self.at = _decode(self.buffer, self.at)
            except ValueError as exc:
                at = getattr(exc, "pos", len(self.buffer))
                near_end = at >= len(self.buffer) - 16 or "Unterminated string" in str(exc)
                if not near_end:
                    raise
                if len(self.buffer) - self.at > MAX_RECORD_CHARS:
                    raise _Truncated from exc
                if not self.more() or (self.ended and self.at >= len(self.buffer)):
                    raise _Truncated from exc
            else:
                if self.at >= len(self.buffer) and not self.ended and isinstance(value, (int, float)):
                    continue  # a number may continue in text that was not read yet
                return value

    def next_line(self) -> bool:
        """Skip to the next line that begins a value; False if there is none."""
        while True:
            match = _NEXT_START.search(self.buffer, self.at + 1)
            if match:
                self.at = match.end()
                return True
            self.at = max(self.at, len(self.buffer) - 64)
            if not self.more():
                return False


_decoder = json.JSONDecoder(strict=False)


def _decode(text: str, at: int) -> tuple[Any, int]:
    try:
        return _decoder.raw_decode(text, at)
    except RecursionError as exc:
        raise ValueError("nested too deeply") from exc


def read_json(
    file: IO[bytes], unreadable: Counter[str], progress: Callable[[int], None]
) -> Iterator[dict[str, Any]]:
    """Yield the records of a JSON file in any of its forms."""
    text = _Text(file, progress)
    while (start := text.skip()) != "":
        before = text.at
        try:
            if start == "[":
                text.at += 1
                yield from _array(text, nested=False, context={}, unreadable=unreadable)
            else:
                yield from _document(text, unreadable)
        except _Truncated:
            unreadable["the file ends inside a record" if text.ended else "a record longer than 64 MB"] += 1
            if text.ended or not text.next_line():
                return
        except ValueError:
            unreadable["broken line of JSON"] += 1
            text.at = max(text.at, before)
            if not text.next_line():
                return


def _document(text: _Text, unreadable: Counter[str]) -> Iterator[dict[str, Any]]:
    """Yield the records in an object.

    A short object is decoded at once; of a long one the envelope is opened.
    """
    if text.buffer[text.at] != "{":
        if not isinstance(text.value(), (list, dict)):
            unreadable["value that is no object"] += 1
        return
    line_end = text.buffer.find("\n", text.at)
    while line_end < 0 and len(text.buffer) - text.at < READ_BYTES and text.more():
        line_end = text.buffer.find("\n", text.at)
    line_end = len(text.buffer) if line_end < 0 and text.ended else line_end
    line = text.buffer[text.at : line_end] if line_end >= 0 else ""
    if line:
        try:
            record = msgspec.json.decode(line)
        except (msgspec.MsgspecError, UnicodeEncodeError):
            record = None  # the object spans several lines, or is broken: the slow path finds out
        if isinstance(record, dict):
            text.at = line_end
            yield from unwrapped(record)
            return
    text.at += 1
    yield from _object(text, {}, unreadable)


def _object(text: _Text, context: dict[str, Any], unreadable: Counter[str]) -> Iterator[dict[str, Any]]:
    """Yield the records in an object whose brace was consumed; fields outside envelopes form a record."""
    rest: dict[str, Any] = {}
    opened = False
    cut: Exception | None = None
    try:
        while text.skip() != "}":
            key = _key(text)
            sign = text.skip()
            if key in ENVELOPES and sign in {"[", "{"} and not _is_leaf(rest):
                text.at += 1
                opened = True
                inner = {**context, **_riding(rest)}
                if sign == "[":
                    yield from _array(text, nested=key in _NESTED, context=inner, unreadable=unreadable)
                else:
                    yield from _object(text, inner, unreadable)
            else:
                rest[key] = text.value()
        text.at += 1
    except (_Truncated, ValueError) as exc:
        cut = exc
    if rest and not (opened and _is_envelope_rest(rest)) and (cut is None or not _is_leaf(rest)):
        yield from unwrapped({**rest, **_context(context, rest)})
    if cut is not None:
        raise cut


def _key(text: _Text) -> str:
    """Consume a key and its colon."""
    if text.skip() == "":
        raise _Truncated
    key = text.value()
    sign = text.skip()
    if sign != ":" or not isinstance(key, str):
        raise _Truncated if sign == "" else ValueError("expected a key and a colon")
    text.at += 1
    return key


def _array(
    text: _Text, *, nested: bool, context: dict[str, Any], unreadable: Counter[str]
) -> Iterator[dict[str, Any]]:
    """Yield the records in an array whose opening bracket was consumed."""
    while (sign := text.skip()) != "]":
        if sign == "":
            raise _Truncated
        if sign == "{" and nested:
            text.at += 1
            yield from _object(text, context, unreadable)
            continue
        value = text.value()
        if isinstance(value, dict):
            yield from unwrapped({**value, **_context(context, value)})
        elif isinstance(value, list):
            yield from (item for v in value if isinstance(v, dict) for item in unwrapped(v))
        else:
            unreadable["value that is no object"] += 1
    text.at += 1


def _riding(rest: dict[str, Any]) -> dict[str, Any]:
    return {RESOURCE: rest["resource"]} if isinstance(rest.get("resource"), dict) else {}


def _context(context: dict[str, Any], record: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in context.items() if key not in record}


def _is_envelope_rest(rest: dict[str, Any]) -> bool:
    """Return whether the fields beside an envelope say nothing: cursors, schema addresses, the resource."""
    beside = {key: rest[key] for key in rest if key not in _AROUND}
    structured = any(isinstance(value, (dict, list)) for value in beside.values())
    return not structured and not _LEAF_MARKS & beside.keys()


def _is_leaf(record: dict[str, Any]) -> bool:
    return bool(_LEAF_MARKS & record.keys())


def unwrapped(record: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the records in a record that is an envelope itself, else the record."""
    if is_frame(record):
        yield from frame_rows(record)
        return
    closed = _OF_SPANS if _is_span(record) else frozenset()
    inner = {
        key: value
        for key, value in record.items()
        if key in ENVELOPES - closed
        and isinstance(value, (dict, list))
        and value
        and _holds_records(key, value)
    }
    if not inner or isinstance(
        record.get("trace"), str
    ):  # MLflow's table also has each complete trace as JSON
        yield record
        return
    rest = {key: value for key, value in record.items() if key not in inner}
    context = {**_riding(record), **({RESOURCE: record[RESOURCE]} if RESOURCE in record else {})}
    info = record.get("info")
    trace = record.get("trace_id") or record.get("traceId")
    trace = trace or (info.get("trace_id") if isinstance(info, dict) else None)
    if rest and not _is_envelope_rest(rest):
        yield rest
    for value in inner.values():
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, dict):
                item = {**item, **_context(context, item)}
                if trace and not item.keys() & {"trace_id", "traceId", "context"}:
                    item["trace_id"] = trace
                yield from unwrapped(item)


def _is_span(record: dict[str, Any]) -> bool:
    return bool({"spanId", "span_id"} & record.keys()) or (
        isinstance(record.get("context"), dict) and "span_id" in record["context"]
    )


def _holds_records(key: str, value: Any) -> bool:
    """Return whether an envelope's key holds records here, rather than a span's own data or events."""
    items = value if isinstance(value, list) else [value]
    if not all(isinstance(item, dict) for item in items):
        return False
    if key in {
        "events",
        "content",
        "items",
        "results",
        "records",
        "rows",
        "hits",
        "annotations",
        "evaluations",
    }:
        return any(_LEAF_MARKS & item.keys() for item in items)
    if key == "data":
        return any((_LEAF_MARKS | ENVELOPES) & item.keys() for item in items)
    return True
