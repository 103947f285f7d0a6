"""Hostile values to storable ones, without ever raising.

What a host hands over is never trusted: no ``str()``, ``repr()``, ``==`` or ``bool()`` of an object
whose type is not known, type checks on ``type(value)`` (a proxy may lie in ``__class__``), built-in
methods called unbound so that a subclass cannot get in between. Whatever could not be kept as it
was is named by a flag:

========== =======================================================================
surrogate  a lone surrogate became U+FFFD
nul        a NUL character became U+FFFD
truncated  a text, or the characters of a value altogether, were cut
bytes      bytes were read as UTF-8, with U+FFFD where they were not
no_text    there was no text (None)
not_text   something that is not a text stood where a text belongs
nan        NaN or an infinity became None
bigint     an integer beyond 64 bits became a string
cycle      a value that contains itself was cut
deep       nesting was cut at ``max_depth``
items      members were cut after ``max_items``
key_clash  two keys of a mapping have one string form; the first was kept
opaque     only the name of the type was kept
========== =======================================================================

``KeyboardInterrupt``, ``SystemExit`` and their kind are no errors and pass through.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from itertools import islice
from math import isfinite, nan
from pathlib import PurePath
from typing import Any
from uuid import UUID

from ragwheel.guard import let_interrupts_through

__all__ = ["all_clean", "jsonable", "number", "text", "texts", "type_name"]

MAX_CHARS = 1_000_000
_INT64 = 2**63
_SURROGATES = re.compile("[\ud800-\udfff]")


def text(value: object, max_chars: int = MAX_CHARS) -> tuple[str, tuple[str, ...]]:
    """A storable text and the flags of what had to be changed; a clean ``str`` comes back itself."""
    kind = type(value)
    if kind is str and _clean(value, max_chars):  # type: ignore[arg-type]
        return value, ()  # type: ignore[return-value]
    flags: list[str] = []
    if issubclass(kind, str):
        out = str.__str__(value)  # an exact str, whatever the subclass overrides
    elif issubclass(kind, (bytes, bytearray, memoryview)):
        flags.append("bytes")
        out = _decode(value, max_chars)
    else:
        return "", ("no_text",) if value is None else ("not_text",)
    if len(out) > max_chars:
        out = out[:max_chars]
        flags.append("truncated")
    if "\0" in out:
        out = out.replace("\0", "\ufffd")
        flags.append("nul")
    if not _encodable(out):
        out = _SURROGATES.sub("\ufffd", out)
        flags.append("surrogate")
    return out, tuple(flags)


def texts(values: list[Any], max_chars: int = MAX_CHARS) -> tuple[list[str], tuple[str, ...]]:
    """:func:`text` over a list. A clean list of ``str`` comes back itself."""
    if set(map(type, values)) <= {str} and all_clean(values, max_chars):
        return values, ()
    out: list[str] = []
    flags: dict[str, None] = {}
    for value in values:
        cleaned, flags_of_text = text(value, max_chars)
        out.append(cleaned)
        flags.update(dict.fromkeys(flags_of_text))
    return out, tuple(flags)


def all_clean(values: list[str], max_chars: int = MAX_CHARS) -> bool:
    """Whether :func:`text` would change none of these exact ``str``; tested as one joined text."""
    joined = "".join(values)
    if len(joined) > max_chars and max(map(len, values)) > max_chars:
        return False
    return _clean(joined, len(joined))


def _clean(value: str, max_chars: int) -> bool:
    return len(value) <= max_chars and "\0" not in value and (value.isascii() or _encodable(value))


def _encodable(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _decode(value: Any, max_chars: int) -> str:
    try:
        # a character takes at most 4 bytes: what lies beyond is cut in any case
        return bytes(memoryview(value).cast("B")[: 4 * max_chars + 4]).decode("utf-8", "replace")
    except (TypeError, ValueError, BufferError):  # a released or non-contiguous memoryview
        return ""


def number(value: object) -> float | None:
    """A finite float of an int, float, Decimal, numpy or torch scalar; None of all else, bool included."""
    try:
        plain = _scalar(value)
        if type(plain) is float or type(plain) is int:
            out = float(plain)
        elif isinstance(plain, Decimal):
            out = Decimal.__float__(plain)
        else:
            return None
    except Exception as exc:  # OverflowError of a huge int, ValueError of a signalling NaN, a tensor's own
        let_interrupts_through(exc)
        return None
    return out if isfinite(out) else None


def _scalar(value: object) -> object:
    """Subclasses of int and float, and 0-dimensional arrays and tensors, as the plain number."""
    kind = type(value)
    if kind is float or kind is int or kind is bool:
        return value
    if issubclass(kind, float):
        return float.__float__(value)  # type: ignore[arg-type]
    if issubclass(kind, int):
        return int.__int__(value)  # type: ignore[arg-type]
    # looked up on the type: an instance's __getattr__ has no say
    if all(hasattr(kind, name) for name in ("item", "dtype", "shape")):
        array: Any = value
        shape = array.shape
        if issubclass(type(shape), tuple) and not tuple.__len__(shape):
            plain = array.item()
            if type(plain) in (float, int, bool, str, bytes) or isinstance(plain, (date, timedelta)):
                return plain
    return value


def type_name(value: object) -> str:
    """``module.QualName`` of a value's type."""
    try:
        kind = type(value)
        parts = [type.__getattribute__(kind, name) for name in ("__module__", "__qualname__")]
        return ".".join(text(part, 200)[0] for part in parts)
    except Exception as exc:  # a metaclass of the host's own
        let_interrupts_through(exc)
        return "object"


def jsonable(value: object, max_depth: int = 8, max_items: int = 1000) -> tuple[object, tuple[str, ...]]:
    """Any value as dict, list, str, int, float, bool or None, and the flags of what had to be changed.

    Mappings, sequences, sets, dataclasses and pydantic models are opened (fields declared with
    ``exclude=True`` stay out); dates, UUIDs, Decimals and paths become their usual strings;
    enumerations their value. Iterators are not consumed and arrays not opened: they are ``opaque``,
    ``{"__type__": "module.QualName"}``. ``max_items`` counts members over the whole value.
    """
    walk = _Walk(max_depth, max_items)
    return walk.plain(value, 0), tuple(walk.flags)


@dataclass(slots=True)
class _Walk:
    """One pass over a value, with what is left of its budgets."""

    max_depth: int
    items_left: int
    chars_left: int = MAX_CHARS
    flags: dict[str, None] = field(default_factory=dict)
    open_ids: set[int] = field(default_factory=set)

    def plain(self, value: object, depth: int) -> object:
        try:
            value = _unwrapped(value)
            flags_of_leaf, out = self._leaf(value)
            if flags_of_leaf:
                return out
            opened = self._open(value)
            if opened is None:
                return self._cut("opaque", value)
            if depth >= self.max_depth:
                return self._cut("deep", value)
            if id(value) in self.open_ids:
                return self._cut("cycle", value)
            self.open_ids.add(id(value))
            try:
                is_mapping, members = opened
                return self._mapping(members, depth) if is_mapping else self._list(members, depth)
            finally:
                self.open_ids.discard(id(value))
        except Exception as exc:  # the host's own code: a property, a tzinfo, an iterator
            let_interrupts_through(exc)
            return self._cut("opaque", value)

    def _leaf(self, value: object) -> tuple[bool, object]:
        if value is None or value is True or value is False:
            return True, value
        if issubclass(type(value), (str, bytes, bytearray)):
            return True, self._text(value)
        plain = _scalar(value)
        if type(plain) is float:
            return True, self._finite(plain)
        if type(plain) is int:
            return True, plain if -_INT64 <= plain < _INT64 else self._bigint(plain)
        if type(plain) is bool:
            return True, plain
        if isinstance(plain, Decimal) and not Decimal.is_finite(plain):
            return True, self._finite(nan)
        for base, form in _FORMS:
            if issubclass(type(plain), base):
                return True, self._text(form(plain))
        return False, None

    def _open(self, value: Any) -> tuple[bool, list[Any]] | None:
        """Is it a mapping, and its members, no more than the budget allows; None of what is no container."""
        kind = type(value)
        if issubclass(kind, dict):
            return True, self._first(dict.items(value))
        for base in (list, tuple, set, frozenset):
            if issubclass(kind, base):
                members = self._first(base.__iter__(value))
                return False, members if base in (list, tuple) else sorted(members, key=_set_order)
        if issubclass(kind, Mapping):
            return True, [(key, value[key]) for key in self._first(iter(value))]
        if hasattr(kind, "__dataclass_fields__"):
            return True, [(name, getattr(value, name)) for name in self._first(kind.__dataclass_fields__)]
        fields = getattr(kind, "__pydantic_fields__", None)
        if isinstance(fields, dict):
            extra = object.__getattribute__(value, "__pydantic_extra__") or {}
            held = self._first({**object.__getattribute__(value, "__dict__"), **extra}.items())
            return True, [(k, v) for k, v in held if not getattr(fields.get(k), "exclude", None)]
        return None

    def _first(self, members: Iterable[Any]) -> list[Any]:
        kept = list(islice(members, self.items_left + 1))
        if len(kept) > self.items_left:
            kept.pop()
            self.flags["items"] = None
        self.items_left -= len(kept)
        return kept

    def _mapping(self, members: list[tuple[object, object]], depth: int) -> dict[str, object]:
        out: dict[str, object] = {}
        for key, value in members:
            name = self._key(_unwrapped(key))
            if name in out:
                self.flags["key_clash"] = None
            else:
                out[name] = self.plain(value, depth + 1)
        return out

    def _list(self, members: list[Any], depth: int) -> list[object]:
        return [self.plain(member, depth + 1) for member in members]

    def _key(self, key: object) -> str:
        flags_of_key, plain = self._leaf(key)
        if flags_of_key and isinstance(plain, str):
            return plain
        if flags_of_key:  # an int, a float, true, false or null: as JSON writes it
            return "null" if plain is None else repr(plain).lower()
        self.flags["opaque"] = None
        return type_name(key)

    def _text(self, value: object) -> str:
        out, flags_of_text = text(value, max(self.chars_left, 0))
        self.chars_left -= len(out)
        self.flags.update(dict.fromkeys(flags_of_text))
        return out

    def _finite(self, value: float) -> float | None:
        if isfinite(value):
            return value
        self.flags["nan"] = None
        return None

    def _bigint(self, value: Any) -> str:
        self.flags["bigint"] = None
        # Python refuses to write more than 4,300 decimal digits (quadratic time); hexadecimal is linear
        return self._text(str(value) if value.bit_length() < 10_000 else hex(value))

    def _cut(self, why: str, value: object) -> dict[str, object]:
        self.flags[why] = None
        return {"__type__": type_name(value)}


_FORMS: tuple[tuple[type, Callable[[Any], object]], ...] = (
    (str, str),  # exact, out of an array scalar
    (bytes, bytes),
    (Decimal, Decimal.__str__),
    (datetime, datetime.isoformat),
    (date, date.isoformat),
    (time, time.isoformat),
    (timedelta, timedelta.__str__),
    (UUID, UUID.__str__),
    (PurePath, PurePath.__str__),
)


def _unwrapped(value: object) -> object:
    """The value of an enumeration's member that is not a str or a number already."""
    return value._value_ if issubclass(type(value), Enum) else value  # type: ignore[attr-defined]


def _set_order(member: object) -> tuple[str, str]:
    """Sets have no order of their own: one that does not change from process to process."""
    kind = type(member)
    return kind.__name__, repr(member) if kind in (str, int, float, bool, bytes) else ""
