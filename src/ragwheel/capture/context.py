"""Context variables for the running retrieval and the last finished one; the current turn.

Our own context variables; OpenTelemetry's context is only read. Were a span of ours made current,
the app's spans would become children of a span that its backend never sees.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

from opentelemetry import trace

from ragwheel.capture.scopes import in_force, the_scope
from ragwheel.guard import guard
from ragwheel.ids import new_trace_id

if TYPE_CHECKING:
    from ragwheel.capture.recorder import Retrieval
    from ragwheel.capture.turn import Turn

__all__ = [
    "SpanParent",
    "current_turn",
    "enclosing_spans",
    "last_retrieval",
    "last_retrieval_var",
    "running",
    "span_parent",
    "the_scope",
]

running: ContextVar[Retrieval | None] = ContextVar("ragwheel_running", default=None)
last_retrieval_var: ContextVar[Retrieval | None] = ContextVar("ragwheel_last", default=None)

SpanParent = tuple[bytes, bytes | None, int]
"""Trace id, parent span id, and the span id (as a number) that was the app's current one."""


def span_parent(inside: Retrieval | Turn | None) -> SpanParent:
    """Return the trace id and parent span id for a new span.

    The parent is the app's current span, or ``inside`` when the app has opened none since ``inside`` began.
    """
    app = trace.get_current_span().get_span_context()
    if inside is not None and (app.span_id == inside.app_span or not app.is_valid):
        return inside.trace_id, inside.span_id, inside.app_span
    if app.is_valid:
        return app.trace_id.to_bytes(16, "big"), app.span_id.to_bytes(8, "big"), app.span_id
    return new_trace_id(), None, 0


def enclosing_spans() -> tuple[Turn | None, Retrieval | None]:
    """Return the turn and the retrieval that a new span belongs to, or None for each.

    A task that was started inside of one and outlives it keeps its context: what has ended is left out.
    """
    outer = running.get()
    while outer is not None:
        if not outer.done:
            return outer.turn, outer
        outer = outer.outer
    return in_force(), None


@guard("finding the current turn")
def current_turn() -> Turn | None:
    """Return the turn whose block this code runs in, or None."""
    return in_force()


@guard("finding the last retrieval")
def last_retrieval() -> Retrieval | None:
    """Return the retrieval that ended last in the current turn; outside of turns, in this thread or task."""
    turn = in_force()
    if turn is None:
        return last_retrieval_var.get()
    for retrieval in reversed(turn.retrievals):
        if retrieval.done:
            return retrieval
    return None
