"""Cutting an over-fetched result to the first k: what the app gets is what its own call would have given."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

from ragwheel.errors import OverfetchRefused

__all__ = ["first_k"]

_SCALARS = (str, bytes, int, float, bool, type(None))


def first_k(result: Any, k: int) -> Any:
    """The first `k` of what a retriever gave, in a container of the same type with the same items.

    Cut are lists, tuples, and dicts with one list in them (``{"documents": […]}``) or with parallel lists
    (``{"ids": […], "texts": […]}``, Chroma's ``{"ids": [[…]], "documents": [[…]]}``).

    Raises
    ------
    OverfetchRefused
        It is something else, or holds something that depends on how many there are (lists of lists, a
        (documents, scores) pair, a total, …): the app's own call has to be made instead.
    """
    if type(result) is dict:
        return _cut_dict(result, k)
    if not isinstance(result, (list, tuple)):
        raise OverfetchRefused(
            f"the retriever gave a {type(result).__name__}; only a list, tuple or dict can be cut to k"
        )
    if any(isinstance(item, list) or hasattr(type(item), "dtype") for item in result[:2]):
        raise OverfetchRefused(
            "the retriever gave lists inside a list; which of them holds k chunks is unknown"
        )
    if len(result) == 1 and type(result[0]) is dict and _longest(result[0].values()) > k:
        raise OverfetchRefused("the retriever gave a response inside a list; it cannot be cut to k")
    if len(result) <= k:
        return result
    if type(result) is list or type(result) is tuple:
        return result[:k]
    if isinstance(result, list):
        cut = copy.copy(result)
        del cut[k:]
        return cut
    raise OverfetchRefused(
        f"the retriever gave a {type(result).__name__}; a tuple's subclass cannot be cut to k"
    )


def _longest(values: Iterable[Any]) -> int:
    return max((len(value) for value in values if isinstance(value, (list, tuple))), default=0)


def _cut_dict(result: dict[Any, Any], k: int) -> dict[Any, Any]:
    """A copy with its lists cut; they have to be of one length, and nothing else may depend on it."""
    lists = {name: value for name, value in result.items() if type(value) is list}
    nested = {name: value[0] for name, value in lists.items() if len(value) == 1 and type(value[0]) is list}
    columns = nested or lists
    lengths = {len(value) for value in columns.values()}
    if len(lengths) != 1:
        what = "lists of several lengths" if lengths else "no list"
        raise OverfetchRefused(
            f"the retriever gave a dict with {what}; which of them holds k chunks is unknown"
        )
    total = lengths.pop()
    if nested.keys() != lists.keys() and nested:
        raise OverfetchRefused(
            "the retriever gave a dict with lists and lists of lists; it cannot be cut to k"
        )
    for name, value in result.items():
        if name in lists or (isinstance(value, _SCALARS) and value != total) or (value == total <= k):
            continue
        if type(value) is not dict or any(not isinstance(v, _SCALARS) or v == total for v in value.values()):
            raise OverfetchRefused(f"the retriever gave a dict whose {name!r:.40} may depend on k")
    if total <= k:
        return result
    return {
        name: value if name not in columns else [value[0][:k]] if name in nested else value[:k]
        for name, value in result.items()
    }
