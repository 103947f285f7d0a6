"""How far the computation in the background is: for pages that show its result."""

from __future__ import annotations

from typing import Any

from ragwheel.review.desk import ReviewDesk

__all__ = ["state_of"]


def state_of(desk: ReviewDesk, _body: dict[str, Any]) -> dict[str, Any]:
    """Return what is being computed, and the time of the result that is there (0: none yet)."""
    state = desk.state
    return {"stage": state.stage, "running": state.running, "at": state.at_s, "problem": state.error}
