"""``POST /v1/traces``: spans of ragwheel and of other tools, from any language, behind a token."""

from __future__ import annotations

import hmac
import os
import time
from functools import partial

from anyio import CapacityLimiter, to_thread
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ragwheel.collector.asgi import HEADERS, RequestGate, answer, refusals
from ragwheel.collector.bodies import BadBody
from ragwheel.collector.foreign import NOT_RETRIEVAL, foreign_records, is_envelope, take_foreign
from ragwheel.collector.limits import RequestLimits
from ragwheel.collector.otlp import JSON, MAX_DEPTH, Span, read_spans, response
from ragwheel.collector.runtimes import RuntimeSource
from ragwheel.collector.spans import NotOurs, read_retrieval, read_signal, read_turn
from ragwheel.errors import ConfigurationError, StoreError
from ragwheel.importing import tools
from ragwheel.runtime import Runtime

__all__ = ["TRACE_LIMITS", "take_spans", "traces_app"]

TRACE_LIMITS = RequestLimits(
    body_bytes=16 * 1024 * 1024, body_timeout_s=30.0, requests_at_once=8, address_per_s=0
)
MIN_TOKEN_CHARS = 16


def traces_app(
    db: str | os.PathLike[str] | None, *, token: str, limits: RequestLimits = TRACE_LIMITS
) -> Starlette:
    """See :func:`ragwheel.collector.traces_app`."""
    if not token.isascii() or len(token) < MIN_TOKEN_CHARS:
        raise ConfigurationError(
            f"collector.traces_app(token=...): got {len(token)} characters, allowed: {MIN_TOKEN_CHARS} or "
            f'more of ASCII. Make one: python -c "import secrets; print(secrets.token_urlsafe(32))"'
        )
    source = RuntimeSource(db, None)
    gate = RequestGate(limits, ())
    threads = CapacityLimiter(1)
    wanted = f"Bearer {token}".encode()

    async def traces(request: Request) -> Response:
        header = request.headers.get("authorization", "").encode("latin-1")
        if not hmac.compare_digest(header, wanted):
            refused = answer(401, {"error": "token missing or wrong"}, end=True)
            refused.headers["WWW-Authenticate"] = "Bearer"
            return refused
        runtime = source()
        if runtime is None:
            return answer(503, {"error": "not configured"}, 5.0)
        media = request.headers.get("content-type", "")
        async with gate.body(request) as body:
            rejected = await to_thread.run_sync(partial(take_spans, runtime, body, media), limiter=threads)
        if rejected is None:
            return answer(503, {"error": "could not be stored"}, 5.0)
        content, content_type = response(media, sum(rejected.values()), "; ".join(rejected))
        return Response(content, 200, HEADERS, content_type)

    return Starlette(routes=[Route("/v1/traces", refusals(traces), methods=["POST"])])


def take_spans(runtime: Runtime, body: bytes, content_type: str) -> dict[str, int] | None:
    """Store the spans of a request, each once by its span id.

    Returns:
        How many spans were rejected, by reason; None if some could not be written and should be sent again.

    Raises:
        BadBody: the body is no OTLP request.
    """
    written = True
    rejected: dict[str, int] = {}
    own: set[bytes] = set()
    foreign = 0
    for span in _own_spans(body, content_type):
        try:
            written &= _write(runtime, span)
            own.add(span.span_id)
        except NotOurs as exc:
            if str(exc) != NOT_RETRIEVAL or _is_ours(span):
                own.add(span.span_id)
                rejected[str(exc)] = rejected.get(str(exc), 0) + 1
            else:
                foreign += 1
    if not written:
        return None
    if foreign or not own:
        try:
            records = foreign_records(body, content_type, MAX_DEPTH)
            rejected |= take_foreign(runtime, records, frozenset(own))
        except (StoreError, OSError):
            return None
    return rejected


def _own_spans(body: bytes, content_type: str) -> list[Span]:
    """Return the spans of a standard OTLP request; none if a tool writes its JSON in another form."""
    try:
        return read_spans(body, content_type)
    except BadBody as exc:
        readable = content_type.partition(";")[0].strip().lower() == JSON and exc.status == 400
        if (
            readable
            and is_envelope(body)
            and any(tools.read(record)[0] for record in foreign_records(body, content_type, MAX_DEPTH))
        ):
            return []
        raise


def _is_ours(span: Span) -> bool:
    """Return whether a span is one of ragwheel's, even if it lacks what is needed to store it."""
    return any(name.startswith("ragwheel.") for name in span.attributes)


def _write(runtime: Runtime, span: Span) -> bool:
    most = runtime.settings.max_text_chars
    kind = span.name.partition(" ")[0]
    if kind in {"retrieval", "rerank"}:
        record, ids, texts = read_retrieval(span, most)
        return runtime.write_retrieval(record, runtime.recorded_ids(ids, texts), texts)
    if kind == "turn":
        return runtime.write_turn(read_turn(span, most))
    if kind == "signal":
        return runtime.write_signal(read_signal(span, most, time.time_ns()))
    raise NotOurs("not a span of ragwheel")
