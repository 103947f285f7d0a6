"""Reading traces from a running Phoenix or Langfuse server through the vendor's own client.

An address names the tool and the server: ``phoenix://localhost:6006/helpdesk`` (with the project after the
host), ``langfuse://cloud.langfuse.com`` (the keys from the environment determine the project). Without a
host, the client takes the server from the tool's environment variables. A server on this machine is reached
by HTTP, any other by HTTPS, unless the scheme is ``phoenix+http://`` or ``phoenix+https://``.
``?since=2026-01-31`` leaves out older traces.
"""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

from ragwheel.errors import ImportingError, MissingExtra, RagwheelError

__all__ = ["RemoteAddress", "is_address", "read_remote"]

_SCHEME: Final = re.compile(r"([a-z]+)(?:\+(https?))?://")
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
FIRST: Final = datetime(2023, 1, 1, tzinfo=timezone.utc)
"""The start of the first window: neither tool existed before."""

WINDOW_SPANS: Final = 2_000
PAGE: Final = 100
TIMEOUT_S: Final = 60
IDS_AT_ONCE: Final = 500
SHORTEST: Final = timedelta(milliseconds=1)

_LANGFUSE_KEYS: Final = ("LANGFUSE_PUBLIC_KEY", "LANGFUSE_SECRET_KEY")
Counted = Callable[[int], None]
"""Called with the number of records read so far."""


@dataclass(frozen=True)
class RemoteAddress:
    """A server to read from; ``url`` is None if the tool's environment variables name it."""

    tool: str
    url: str | None
    project: str
    since: datetime | None


def is_address(path: object) -> bool:
    """Return whether a source to import is an address rather than a file."""
    return isinstance(path, str) and _SCHEME.match(path) is not None


def read_remote(text: str, progress: Counted) -> Iterator[dict[str, Any]]:
    """Yield the spans, traces and scores of a server as its API returns them.

    Raises:
        ImportingError: the address is malformed, or the server cannot be read.
        MissingExtra: the vendor's client is not installed.
    """
    address = parse(text)
    readers = {"phoenix": _read_phoenix, "langfuse": _read_langfuse}
    try:
        for n, record in enumerate(readers[address.tool](address), 1):
            yield record
            if n % PAGE == 0:
                progress(n)
    except RagwheelError:
        raise
    except Exception as exc:
        reason = str(exc).strip().splitlines()
        raise ImportingError(
            f"{text} cannot be read: {type(exc).__name__}: {reason[0][:300] if reason else 'no reason'}. "
            f"Nothing was imported. Check the address and the keys in the environment, or import a file "
            f"that the tool exports."
        ) from exc


def parse(text: str) -> RemoteAddress:
    """Parse an address.

    Raises:
        ImportingError: it names an unknown tool, no project, or another parameter than ``since``.
    """
    match = _SCHEME.match(text)
    tool, protocol = match.groups() if match else ("", None)
    parts = urlsplit(text)
    project = unquote(parts.path.strip("/"))
    if tool not in {"phoenix", "langfuse"}:
        raise ImportingError(
            f"{text} is an address of no tool that can be read. Expected phoenix://HOST:PORT/PROJECT, "
            f"langfuse://HOST, or a file."
        )
    if (tool == "phoenix") != bool(project):
        expected = (
            "phoenix://HOST:PORT/PROJECT" if tool == "phoenix" else "langfuse://HOST, no project behind it"
        )
        raise ImportingError(f"{text}: expected {expected}.")
    query = parse_qs(parts.query)
    if query.keys() - {"since"}:
        raise ImportingError(f"{text}: got {parts.query!r}, allowed: since=2026-01-31.")
    url = None
    if parts.hostname:
        protocol = protocol or ("http" if parts.hostname in _LOOPBACK else "https")
        url = f"{protocol}://{parts.netloc}"
    return RemoteAddress(tool, url, project, _since(text, query.get("since", [""])[0]))


def _since(text: str, value: str) -> datetime | None:
    if not value:
        return None
    try:
        since = datetime.fromisoformat(value)
    except ValueError:
        raise ImportingError(f"{text}: since is {value!r}, expected a date like 2026-01-31.") from None
    return since if since.tzinfo else since.replace(tzinfo=timezone.utc)


# --- Phoenix ---


def _read_phoenix(address: RemoteAddress) -> Iterator[dict[str, Any]]:
    """Yield spans by time windows that fit in memory, and their annotations."""
    try:
        from phoenix.client import Client
    except ImportError:
        raise MissingExtra("phoenix:// needs Phoenix's client: pip install 'ragwheel[phoenix]'") from None
    client: Any = Client(base_url=address.url)
    project = address.project

    def fetch(start: datetime, end: datetime, limit: int) -> list[dict[str, Any]]:
        spans = client.spans.get_spans(
            project_identifier=project, start_time=start, end_time=end, limit=limit, timeout=TIMEOUT_S
        )
        return list(spans)

    now = datetime.now(timezone.utc) + timedelta(days=1)
    for spans in _windows(fetch, address.since or FIRST, now):
        yield from spans
        ids = [span["context"]["span_id"] for span in spans]
        for start in range(0, len(ids), IDS_AT_ONCE):
            yield from client.spans.get_span_annotations(
                span_ids=ids[start : start + IDS_AT_ONCE], project_identifier=project, timeout=TIMEOUT_S
            )


def _windows(
    fetch: Callable[[datetime, datetime, int], list[dict[str, Any]]], start: datetime, end: datetime
) -> Iterator[list[dict[str, Any]]]:
    """Yield the spans of each time window; a window with more spans than the limit is split in half."""
    windows, limit = [(start, end)], WINDOW_SPANS
    while windows:
        start, end = windows.pop()
        spans = fetch(start, end, limit)
        if len(spans) < limit:
            yield spans
        elif end - start > SHORTEST:
            middle = start + (end - start) / 2
            windows += [(middle, end), (start, middle)]
        else:
            windows.append((start, end))
            limit *= 2


# --- Langfuse ---


def _read_langfuse(address: RemoteAddress) -> Iterator[dict[str, Any]]:
    """Yield observations, scores and, if the API still has them, traces, page by page."""
    try:
        from langfuse import Langfuse
    except ImportError:
        raise MissingExtra("langfuse:// needs Langfuse's client: pip install 'ragwheel[langfuse]'") from None
    lacking = [name for name in _LANGFUSE_KEYS if not os.environ.get(name)]
    if lacking:
        raise ImportingError(f"langfuse:// needs the keys of the project: set {' and '.join(lacking)}.")
    server: dict[str, Any] = {} if address.url is None else {"host": address.url}
    client: Any = Langfuse(**server, tracing_enabled=False, timeout=TIMEOUT_S)
    api, since = client.api, address.since
    fields = "core,basic,time,io,metadata,trace_context"
    observations = api.observations.get_many
    yield from _pages(observations, {"fields": fields, "from_start_time": since})
    traces = getattr(api.trace, "list", None)
    if traces is not None:
        yield from _pages(traces, {"from_timestamp": since})
    for holder, name in (("scores", "get_many"), ("score_v_2", "get"), ("score", "get")):
        scores = getattr(getattr(api, holder, None), name, None)
        if scores is not None:
            yield from _pages(scores, {"fields": "details,subject,annotation", "from_timestamp": since})
            return


def _pages(method: Callable[..., Any], wishes: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield all records of a listing, by cursor or page number, depending on the client's version."""
    parameters = inspect.signature(method).parameters
    arguments = {k: v for k, v in wishes.items() if k in parameters and v is not None}
    by_cursor = "cursor" in parameters
    page, cursor = 1, None
    while True:
        position = {"cursor": cursor} if by_cursor else {"page": page}
        answer = method(limit=PAGE, **arguments, **{k: v for k, v in position.items() if v is not None})
        yield from (item.dict() for item in answer.data)
        page += 1
        meta = answer.meta.dict()
        cursor = meta.get("cursor")
        pages = meta.get("totalPages", meta.get("total_pages")) or 0
        if not answer.data or (by_cursor and not cursor) or (not by_cursor and page > int(pages)):
            return
