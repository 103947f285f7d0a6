"""Whether asking a retriever for more changed what the app's own call gives.

The app's own call is made first, so that nothing which the larger call does to the retriever can reach its
result. The first k of the larger result must then be the same chunks in the same order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from ragwheel.capture.cut import first_k
from ragwheel.errors import OverfetchRefused
from ragwheel.guard import guard, let_interrupts_through
from ragwheel.host.results import Reading, read_result

__all__ = [
    "CHANGED_FLAG",
    "CHANGED_REFUSAL",
    "CHECKED_CALLS",
    "extended",
    "same_first_k",
    "unchanged",
    "warn_of_change",
]

CHECKED_CALLS: Final = 3
"""So many over-fetched calls of a retriever are checked by the app's own, unless the app says otherwise."""
CHANGED_FLAG: Final = "overfetch_changed_results"
CHANGED_REFUSAL: Final = "asking for more changed what the app's own call gives"


def same_first_k(own: Any, larger: Any, k: int, adapter: Callable[[Any], Any] | None = None) -> bool:
    """Whether the first ``k`` chunks of ``larger`` have the ids and texts of all chunks of ``own``, in order.

    Raises
    ------
    OverfetchRefused
        The larger result cannot be cut to k.
    """
    try:
        cut = first_k(larger, k)
    except OverfetchRefused:
        raise
    except Exception as exc:  # the host's own code, in a list of a type of its own
        let_interrupts_through(exc)
        raise OverfetchRefused("the retriever's list could not be cut to k") from None
    return bool(_same(own, cut, k, adapter))


@guard("comparing an over-fetched result", returns=False)
def _same(own: Any, cut: Any, k: int, adapter: Callable[[Any], Any] | None) -> bool:
    ours, theirs = (read_result(result, k + 1, adapter) for result in (own, cut))
    if ours.total != theirs.total:
        return False
    if ours.unreadable or theirs.unreadable:
        return _same_plain_values(own, cut)
    return _chunks(ours) == _chunks(theirs)


def _chunks(reading: Reading) -> tuple[list[str], list[str]]:
    return list(reading.columns.ids), list(reading.columns.texts)


def _same_plain_values(own: Any, cut: Any) -> bool:
    """Whether two lists of numbers or other plain values are equal; no host object is asked."""
    plain = (str, bytes, int, float, bool, type(None))
    if not isinstance(own, (list, tuple)) or not isinstance(cut, (list, tuple)):
        return False
    return len(own) == len(cut) and all(
        element is other or (type(element) is type(other) and type(element) in plain and element == other)
        for element, other in zip(own, cut, strict=True)
    )


def extended(own: Any, larger: Any, k: int) -> Any:
    """What to record of a check that agreed: the app's own objects, then the rest of the larger result.

    A result that is no list or tuple is recorded as the larger call gave it.
    """
    if type(own) in (list, tuple) and isinstance(larger, (list, tuple)):
        return [*own, *larger[k:]]
    return larger


def unchanged(result: Any) -> Callable[[], Any]:
    """Return a function that gives ``result`` as it is now, even if the retriever fills that list again."""
    if type(result) is not list:
        return lambda: result
    items = result[:]

    def as_returned() -> Any:
        same = len(result) == len(items) and all(element is other for element, other in zip(result, items))
        return result if same else items

    return as_returned


def warn_of_change(name: str) -> None:
    """Say once per retriever that it is no longer asked for more."""
    guard.warn_once(
        f"over-fetch: {name}",
        f"{name}: asked for more chunks, its first ones are others than those of the app's own call (it may "
        "filter, re-order or remember). The app got the result of its own call, and this retriever is not "
        "asked for more any longer in this process. See: docs/capture.md, over-fetch",
    )
