"""What over-fetch learned about one function: whether asking it for more is of any use."""

from __future__ import annotations

from typing import Any, Final

from ragwheel.capture import overfetch
from ragwheel.capture.checks import CHANGED_FLAG, CHANGED_REFUSAL, CHECKED_CALLS, warn_of_change
from ragwheel.guard import let_interrupts_through

__all__ = ["Learned"]

_MAX_FAILURES: Final = 3


class Learned:
    """Remembers that a function's results cannot be cut to k, or that it fails when it is asked for more.

    It was then called twice, and is not again: ``refusal`` is the flag that says why. A result that could
    have been cut takes a refusal back; the third one stays, as does the third failure. ``checks`` is how
    many of the next over-fetched calls are checked by the app's own; one that differs is the last.
    """

    __slots__ = ("_failures", "_refusals", "checks", "refusal")

    def __init__(self, checks: int = CHECKED_CALLS) -> None:
        self.refusal: str | None = None
        self.checks = checks
        self._refusals = 0
        self._failures = 0

    def refuse(self, flag: str) -> str:
        """A result could not be cut: ask for more no longer. Returns the flag."""
        self._refusals += 1
        self.refusal = flag
        return flag

    def agreed(self) -> None:
        """A checked call gave the same chunks."""
        self.checks = max(0, self.checks - 1)

    def differed(self, name: str) -> str:
        """Asking for more gave other chunks: never ask again. Returns the flag."""
        self._refusals = _MAX_FAILURES
        self.refusal = f"overfetch_refused: {CHANGED_REFUSAL}"
        warn_of_change(name)
        return CHANGED_FLAG

    def failed(self) -> str:
        """The function raised when it was asked for more. Returns the flag."""
        self._failures += 1
        if self._failures >= _MAX_FAILURES:
            self.refusal = "overfetch_failed"
        return "overfetch_failed"

    def saw(self, result: Any) -> None:
        """Take a refusal back when the function returns something that can be cut."""
        if self._refusals >= _MAX_FAILURES or self._failures >= _MAX_FAILURES:
            return
        try:
            overfetch.first_k(result, 1)
        except Exception as exc:  # still what it was, or the host's own code
            let_interrupts_through(exc)
            return
        self.refusal = None
