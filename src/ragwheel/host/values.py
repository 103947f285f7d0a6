r"""What a value is, by itself: a text that people read, a key, an address, a number, a vector, a record.

Used where the name of a field, or its place in a tuple, does not say what it holds. Nothing of the host's
is called: types are compared and exact strings are looked at.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date, time, timedelta
from decimal import Decimal
from typing import Any, Final, Literal
from uuid import UUID

from ragwheel.host import safe

__all__ = ["Kind", "is_key", "is_number", "is_text", "is_vector", "kind_of", "kinds_of", "mean_length"]

Kind = Literal[
    "none", "flag", "text", "word", "key", "address", "int", "float", "time", "vector", "list", "record"
]

_MAX_KEY_CHARS: Final = 200
_ADDRESS: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://\S+|[^\s?*]*[\w)]\.[a-zA-Z][a-zA-Z0-9]{0,4}")
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d\S*)?")
_NUMBER: Final = re.compile(r"[+-]?(\d+\.\d*|\.\d+)([eE][+-]?\d+)?")
_KEY: Final = re.compile(r"(?=[^\s]*[\d_#/:|-])[\w#/:|.@+=~-]+", re.ASCII)
_UNSPACED: Final = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]"
)


def is_text(value: str) -> bool:
    """Whether a string is something that people read: several words, or a script that has no blanks."""
    return len(value.split(None, 2)) > 1 or (len(value) > 3 and bool(_UNSPACED.search(value[:1000])))


def is_key(value: str) -> bool:
    """Whether a string can only be a key: without blanks, with a digit or a separator."""
    return len(value) <= _MAX_KEY_CHARS and _KEY.fullmatch(value) is not None


def is_number(value: object) -> bool:
    """Whether a value is a number (and not a truth value)."""
    return type(value) is float or safe.number(value) is not None


def is_vector(value: object) -> bool:
    """Whether a value is an array of numbers, such as an embedding."""
    kind = type(value)
    if hasattr(kind, "dtype") and hasattr(kind, "shape"):
        return True
    if issubclass(kind, (list, tuple)):
        head = value[:4]  # type: ignore[index]
        return len(value) > 4 and all(is_number(number) for number in head)  # type: ignore[arg-type]
    return kind.__module__ == "array" and kind.__name__ == "array"


def kind_of(value: object) -> Kind:  # noqa: PLR0911 - one return per kind
    """Return what `value` is."""
    kind = type(value)
    if issubclass(kind, str):
        return _kind_of_str(str.__str__(value))
    if value is None:
        return "none"
    if kind is bool:
        return "flag"
    if kind is int:
        return "int"
    if kind is float or issubclass(kind, Decimal):
        return "float"
    if issubclass(kind, (UUID, bytes)) or kind.__module__ == "bson.objectid":
        return "key"
    if issubclass(kind, (date, time, timedelta)):
        return "time"
    number = safe.number(value)
    if number is not None:
        return "int" if issubclass(kind, int) or "int" in kind.__name__ else "float"
    if is_vector(value):
        return "vector"
    return "list" if issubclass(kind, (list, tuple, set, frozenset)) else "record"


def _kind_of_str(value: str) -> Kind:
    if not value.strip():
        return "none"
    if is_text(value):
        return "time" if _TIME.fullmatch(value) else "text"
    if _TIME.fullmatch(value):
        return "time"
    if _NUMBER.fullmatch(value):
        return "float"
    if len(value) <= _MAX_KEY_CHARS * 5 and _ADDRESS.fullmatch(value):
        return "address"
    return "key" if is_key(value) else "word"


def kinds_of(values: Sequence[object]) -> Kind | None:
    """Return what all of `values` are, None when they differ; empty ones do not count."""
    kinds = {kind_of(value) for value in values} - {"none"}
    if len(kinds) == 1:
        return kinds.pop()
    if not kinds:
        return "none"
    if kinds <= {"text", "word"}:
        return "text"
    if kinds <= {"key", "word"}:  # "intro" among "step-1", "step-2"
        return "key"
    return "float" if kinds == {"int", "float"} else None


def mean_length(values: Sequence[Any]) -> float:
    """Return the mean number of characters of the strings among `values`."""
    lengths = [len(value) for value in values if issubclass(type(value), str)]
    return sum(lengths) / len(lengths) if lengths else 0.0


def is_record(value: object) -> bool:
    """Whether a value can hold named fields: a mapping or an object."""
    return issubclass(type(value), Mapping) or kind_of(value) == "record"
