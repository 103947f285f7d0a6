"""Votes: one thumb counts per answer or chunk, and it can be taken back."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, Literal

import ragwheel

__all__ = ["Thumb", "vote"]

Thumb = Literal["thumbs_up", "thumbs_down"]
_Key = tuple[str, str | None, str | None]

_REMEMBERED: Final = 20_000
_thumbs: OrderedDict[_Key, Thumb | None] = OrderedDict()
"""Handle, chunk and subject -> the thumb that counts, of the latest votes of this process."""


def vote(
    handle: str,
    thumb: Thumb | None,
    *,
    chunk: str | None = None,
    comment: str | None = None,
    subject: str | None = None,
) -> bool:
    """Record a thumb in place of an earlier one of this process; None takes the earlier one back.

    Returns:
        False when a signal was not taken: see :func:`ragwheel.signal`.
    """
    key = (handle, chunk, subject)
    kept = True
    for former in _kinds_to_retract(key, thumb):
        kept = ragwheel.signal(handle, "retract", other=former, chunk=chunk, subject=subject) and kept
    _thumbs[key] = thumb
    _thumbs.move_to_end(key)
    if len(_thumbs) > _REMEMBERED:
        _thumbs.popitem(last=False)
    if thumb is None:
        return kept
    return ragwheel.signal(handle, thumb, chunk=chunk, comment=comment, subject=subject) and kept


def _kinds_to_retract(key: _Key, thumb: Thumb | None) -> tuple[Thumb, ...]:
    """Return the kinds to take back: of an unknown earlier vote only where nothing takes its place."""
    if key not in _thumbs:
        return ("thumbs_up", "thumbs_down") if thumb is None else ()
    former = _thumbs[key]
    return (former,) if former is not None else ()
