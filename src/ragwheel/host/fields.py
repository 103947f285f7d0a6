"""The named fields of a host object, read without running any of the host's code.

A property, a lazy relation or ``__getattr__`` may load from a database, compute, or use up a stream, so
none is asked. Read are: keys of mappings and rows, fields of named tuples, dataclasses and pydantic models,
slots, what the instance itself holds, constants of the class, and properties that do nothing but return
such an attribute (``return self._text``), which are read from the attribute itself.
"""

from __future__ import annotations

import dis
import types
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple
from weakref import WeakKeyDictionary

__all__ = ["Outline", "fields_of", "is_lazy_query", "is_named_tuple", "outline"]

_MAX_FIELDS: Final = 500
_GETTER_OPCODES: Final = frozenset(
    {"RESUME", "NOP", "LOAD_FAST", "LOAD_FAST_BORROW", "LOAD_ATTR", "RETURN_VALUE", "CACHE"}
)
_CONSTANTS: Final = (str, int, float)
_QUERY_METHODS: Final = (
    "filter",
    "exclude",
    "where",
    "order_by",
    "execute",
    "fetchall",
    "fetchone",
    "collect",
)


class _Declared(NamedTuple):
    """What a class says about its instances: how to read the fields that are not in an instance's dict."""

    readers: dict[str, Callable[[Any], Any]]
    closed: bool  # every instance has the same fields
    guarded: frozenset[str]  # names that a property or another descriptor answers for: not for getattr


_declared: WeakKeyDictionary[type, _Declared] = WeakKeyDictionary()


def is_named_tuple(kind: type) -> bool:
    """Whether `kind` is a tuple whose places have names."""
    return issubclass(kind, tuple) and type(getattr(kind, "_fields", None)) is tuple


def is_lazy_query(kind: type) -> bool:
    """Whether objects of `kind` are queries or cursors, which would be run or used up by reading them."""
    return sum(1 for name in _QUERY_METHODS if hasattr(kind, name)) > 1


def fields_of(value: Any) -> Mapping[Any, Any]:
    """Return the fields of a mapping, row, named tuple or object by name; without any, an empty mapping.

    Raises what a mapping of the host's own raises.
    """
    kind = type(value)
    if issubclass(kind, Mapping):
        return value  # type: ignore[no-any-return]
    if is_named_tuple(kind):
        return dict(zip(kind._fields, tuple.__iter__(value)))
    if hasattr(kind, "keys") and hasattr(kind, "__getitem__") and not is_lazy_query(kind):
        return {key: value[key] for key in list(value.keys())[:_MAX_FIELDS]}  # sqlite3.Row, asyncpg.Record
    return _attributes(value, kind)


class Outline(NamedTuple):
    """The names of an object's fields, and whether all objects of its type have exactly these.

    ``guarded`` names must not be asked of the object: a property or another descriptor answers.
    """

    names: tuple[str, ...]
    closed: bool
    guarded: frozenset[str]


def outline(value: Any) -> Outline:
    """Return the names of an object's fields."""
    declared = _declaration(type(value))
    held = _held(value)
    names = (*held, *(name for name in declared.readers if name not in held))
    return Outline(names, declared.closed, declared.guarded)


def _attributes(value: Any, kind: type) -> dict[str, Any]:
    declared = _declaration(kind)
    fields = {
        name: field
        for name, field in _held(value).items()
        if type(name) is str and (name[:1] != "_" or name in _UNDERSCORED)
    }
    for name, read in declared.readers.items():
        if name not in fields:
            try:
                fields[name] = read(value)
            except AttributeError:  # a slot that was never filled
                continue
        if len(fields) > _MAX_FIELDS:
            break
    return fields


_UNDERSCORED: Final = frozenset({"_id", "_score", "_source", "_distance", "_additional", "_relevance_score"})


def _held(value: Any) -> dict[str, Any]:
    """Return what the instance holds itself: its dict, and a pydantic model's additional fields."""
    kind = type(value)
    if not kind.__dictoffset__:
        return {}
    held: dict[str, Any] = object.__getattribute__(value, "__dict__")
    if hasattr(kind, "__pydantic_fields__"):
        extra = object.__getattribute__(value, "__pydantic_extra__")
        if extra:
            held = {**held, **extra}
    return held


def _declaration(kind: type) -> _Declared:
    declared = _declared.get(kind)
    if declared is None:
        declared = _declared[kind] = _declare(kind)
    return declared


def _declare(kind: type) -> _Declared:
    readers: dict[str, Callable[[Any], Any]] = {}
    guarded: set[str] = set()
    seen: dict[str, Any] = {}
    for base in reversed(kind.__mro__):
        if base is not object and not str(base.__module__).startswith("pydantic"):
            seen.update(vars(base))
    fields = getattr(kind, "__dataclass_fields__", None) or getattr(kind, "__pydantic_fields__", None) or {}
    for name in [name for name in seen if name[:1] != "_" or name in _UNDERSCORED]:
        attribute = seen[name]
        if isinstance(attribute, (types.MemberDescriptorType, types.GetSetDescriptorType)):
            readers[name] = attribute.__get__
        elif isinstance(attribute, property):
            reader = _plain_getter(attribute, seen)
            if reader is not None:
                readers[name] = reader
            else:
                guarded.add(name)
        elif type(attribute) in _CONSTANTS and name not in fields:
            readers[name] = _constant(attribute)
        elif hasattr(type(attribute), "__set__"):
            guarded.add(name)
    config = getattr(kind, "model_config", None)
    if isinstance(config, dict):
        closed = config.get("extra") != "allow"
    else:
        closed = bool(fields) or not kind.__dictoffset__
    if getattr(kind, "__getattribute__", None) is not getattr(object, "__getattribute__", None):
        guarded.update(seen, fields, ("id", "text"))
    return _Declared(readers, closed, frozenset(guarded))


def _constant(value: Any) -> Callable[[Any], Any]:
    return lambda _: value


def _plain_getter(attribute: property, seen: Mapping[str, Any]) -> Callable[[Any], Any] | None:
    """Return a reader of the attribute that a property returns as it is; None if the property does more."""
    getter = attribute.fget
    code = getattr(getter, "__code__", None)
    if (
        type(getter) is not types.FunctionType
        or code is None
        or code.co_argcount != 1
        or len(code.co_names) != 1
    ):
        return None
    if not {step.opname for step in dis.get_instructions(code)} <= _GETTER_OPCODES:
        return None
    name = code.co_names[0]
    behind = seen.get(name)
    if isinstance(behind, types.MemberDescriptorType):
        return behind.__get__
    if behind is not None:
        return None
    return lambda value: _in_dict(value, name)


def _in_dict(value: Any, name: str) -> Any:
    held = object.__getattribute__(value, "__dict__")
    if name not in held:
        raise AttributeError(name)
    return held[name]
