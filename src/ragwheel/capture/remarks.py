"""What a person adds to a signal: a comment in their own words, and a reason as a short code."""

from __future__ import annotations

from typing import Any, Final

from ragwheel.host import safe

__all__ = ["MAX_REASON_CHARS", "reason_code", "remark"]

MAX_REASON_CHARS: Final = 100


def remark(value: Any, max_chars: int) -> tuple[str | None, tuple[str, ...]]:
    """Return the text of a comment and its flags; a blank comment is None."""
    if value is None:
        return None, ()
    text, flags = safe.text(value, max_chars)
    return (text.strip(), flags) if text.strip() else (None, ())


def reason_code(value: Any) -> str | None:
    """Return the code without surrounding blanks; an empty one is None.

    Raises:
        ValueError: it is longer than 100 characters or has line breaks or control characters.
    """
    if value is None:
        return None
    text = safe.text(value, MAX_REASON_CHARS + 50)[0].strip()
    if len(text) > MAX_REASON_CHARS or not text.isprintable():
        raise ValueError("reason malformed")
    return text or None
