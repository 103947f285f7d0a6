"""Where we are: the current turn, the retrieval that is running, the last one that ended.

Our own context variables; OpenTelemetry's context is only read. Were a span of ours made current,
the app's spans would become children of a span that its backend never sees.
"""

from __future__ import annotations

from contextvars import ContextVar, Token
from typing import TYPE_CHECKING

from opentelemetry import trace

from ragwheel.ids import new_trace_id

if TYPE_CHECKING:
    from ragwheel.capture.recorder import Retrieval
    from ragwheel.capture.turn import Turn

__all__ = [
    "Origin",
    "current_turn",
    "last_retrieval",
    "leave",
    "origin",
    "running",
    "surroundings",
    "the_last",
    "the_turn",
]

the_turn: ContextVar[Turn | None] = ContextVar("ragwheel_turn", default=None)
running: ContextVar[Retrieval | None] = ContextVar("ragwheel_running", default=None)
the_last: ContextVar[Retrieval | None] = ContextVar("ragwheel_last", default=None)

Origin = tuple[bytes, bytes | None, int]
"""Trace id, parent span id, and the span id (as a number) that was the app's current one."""


def origin(inside: Retrieval | Turn | None) -> Origin:
    """Where a new span hangs.

    Under the app's current span, or under ``inside`` when the app has opened none since ``inside`` began.
    """
    app = trace.get_current_span().get_span_context()
    if inside is not None and (app.span_id == inside.app_span or not app.is_valid):
        return inside.trace_id, inside.span_id, inside.app_span
    if app.is_valid:
        return app.trace_id.to_bytes(16, "big"), app.span_id.to_bytes(8, "big"), app.span_id
    return new_trace_id(), None, 0


def surroundings() -> tuple[Turn | None, Retrieval | None]:
    """The turn and the retrieval that what starts here is part of.

    A task that was started inside of one and outlives it keeps its context: what has ended is left out.
    """
    outer = running.get()
    if outer is not None and not outer.done:
        return outer.turn, outer
    return current_turn(), None


def leave(token: Token[Retrieval | None]) -> None:
    """The code of a running retrieval is left, in whatever context that happens."""
    try:
        running.reset(token)
    except ValueError:  # closed by somebody else, in a context where nothing was set
        return


def current_turn() -> Turn | None:
    """The turn whose ``with`` block this code runs in, or None."""
    turn = the_turn.get()
    return None if turn is None or turn.ended else turn


def last_retrieval() -> Retrieval | None:
    """The retrieval that ended last in the current turn; outside of turns, in this thread or task."""
    turn = current_turn()
    if turn is None:
        return the_last.get()
    return next((retrieval for retrieval in reversed(turn.retrievals) if retrieval.done), None)
