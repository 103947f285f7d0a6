"""Votes: one thumb counts per answer or chunk, and it can be taken back."""

from __future__ import annotations

from typing import Literal

import ragwheel

__all__ = ["Thumb", "vote"]

Thumb = Literal["thumbs_up", "thumbs_down"]


def vote(
    handle: str,
    thumb: Thumb | None,
    *,
    chunk: str | None = None,
    comment: str | None = None,
    subject: str | None = None,
) -> bool:
    """Record a thumb in place of an earlier one; None takes the earlier one back.

    Returns:
        False when a signal was not taken: see :func:`ragwheel.signal`.
    """
    kept = True
    for former in ("thumbs_up", "thumbs_down"):
        kept = ragwheel.signal(handle, "retract", other=former, chunk=chunk, subject=subject) and kept
    if thumb is None:
        return kept
    return ragwheel.signal(handle, thumb, chunk=chunk, comment=comment, subject=subject) and kept
