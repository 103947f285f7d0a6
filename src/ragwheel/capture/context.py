"""Where we are: the current turn, the retrieval that is running, the last one that ended.

Our own context variables; OpenTelemetry's context is only read. Were a span of ours made current,
the app's spans would become children of a span that its backend never sees.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

from opentelemetry import trace

from ragwheel.ids import new_trace_id

if TYPE_CHECKING:
    from ragwheel.capture.recorder import Retrieval
    from ragwheel.capture.turn import Turn

__all__ = ["Origin", "current_turn", "last_retrieval", "origin", "running", "the_last", "the_turn"]

the_turn: ContextVar[Turn | None] = ContextVar("ragwheel_turn", default=None)
running: ContextVar[Retrieval | None] = ContextVar("ragwheel_running", default=None)
the_last: ContextVar[Retrieval | None] = ContextVar("ragwheel_last", default=None)

Origin = tuple[bytes, bytes | None, int]
"""Trace id, parent span id, and the span id (as a number) that was the app's current one."""


def origin(inside: Retrieval | Turn | None) -> Origin:
    """Where a new span hangs: under the app's current span, or under ``inside`` when the app has opened
    none since ``inside`` began."""
    app = trace.get_current_span().get_span_context()
    if inside is not None and (app.span_id == inside.app_span or not app.is_valid):
        return inside.trace_id, inside.span_id, inside.app_span
    if app.is_valid:
        return app.trace_id.to_bytes(16, "big"), app.span_id.to_bytes(8, "big"), app.span_id
    return new_trace_id(), None, 0


def current_turn() -> Turn | None:
    """The turn whose ``with`` block this code runs in, or None."""
    return the_turn.get()


def last_retrieval() -> Retrieval | None:
    """The retrieval that ended last in this context (thread or task), or else in the current turn."""
    found = the_last.get()
    if found is None:
        turn = the_turn.get()
        if turn is not None and turn.retrievals:
            return turn.retrievals[-1]
    return found
