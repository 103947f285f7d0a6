"""Recording objects that can be called: instances with ``__call__``, ``functools.lru_cache``, bound methods.

A recorded object stands for the app's own: its class, attributes (read, set and deleted), operators, copies
and pickles are that object's; only calls are recorded on their way.
"""

from __future__ import annotations

import copy
import functools
import inspect
import sys
from collections.abc import Callable
from types import MethodType
from typing import Any, Final

from ragwheel.capture.bound import is_kind

__all__ = ["Recorded", "recorded_object"]

_OWN: Final = frozenset(
    {
        "__call__", "__class__", "__class_getitem__", "__copy__", "__deepcopy__", "__del__", "__delattr__",
        "__dict__", "__dir__", "__doc__", "__get__", "__getattr__", "__getattribute__", "__getstate__",
        "__hash__", "__init__", "__init_subclass__", "__module__", "__new__", "__prepare__", "__reduce__",
        "__reduce_ex__", "__set_name__", "__setattr__", "__setstate__", "__sizeof__", "__slots__",
        "__subclasshook__", "__weakref__",
    }
)  # fmt: skip
"""Special methods that :class:`Recorded` has itself, or that are asked of the class alone."""


class Recorded:
    """Stands for an object that can be called; made by :func:`recorded_object`."""

    __slots__ = ("__weakref__", "_ragwheel_call", "_ragwheel_object", "_ragwheel_rebuild")

    def __init__(self, of: Any, call: Callable[..., Any], rebuild: Callable[[Any], Any]) -> None:
        object.__setattr__(self, "_ragwheel_object", of)
        object.__setattr__(self, "_ragwheel_call", call)
        object.__setattr__(self, "_ragwheel_rebuild", rebuild)

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        return self._ragwheel_object.__class__

    @property
    def __dict__(self) -> Any:  # type: ignore[override]
        return self._ragwheel_object.__dict__

    @property
    def __doc__(self) -> Any:  # type: ignore[override]
        return self._ragwheel_object.__doc__

    @property
    def __module__(self) -> Any:  # type: ignore[override]
        return self._ragwheel_object.__module__

    @property
    def __wrapped__(self) -> Any:
        return self._ragwheel_object

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ragwheel_object, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._ragwheel_object, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self._ragwheel_object, name)

    def __dir__(self) -> Any:
        return dir(self._ragwheel_object)

    def __hash__(self) -> int:
        return hash(self._ragwheel_object)

    def __copy__(self) -> Any:
        return self._ragwheel_rebuild(copy.copy(self._ragwheel_object))

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return self._ragwheel_rebuild(copy.deepcopy(self._ragwheel_object, memo))

    def __reduce_ex__(self, protocol: Any) -> Any:
        """By name where that leads here in the object's module, else the object, recorded again."""
        name = getattr(self._ragwheel_object, "__qualname__", None)
        at: Any = sys.modules.get(str(getattr(self._ragwheel_object, "__module__", None)))
        if type(name) is str:
            for part in name.split("."):
                at = getattr(at, part, None)
            if at is self:
                return name
        return self._ragwheel_rebuild, (self._ragwheel_object,)


def recorded_object(of: Any, call: Callable[..., Any], rebuild: Callable[[Any], Any]) -> Any:
    """Return an object that stands for ``of`` and is called through ``call``.

    Args:
        of: the app's object.
        call: calls it and records the call; of the kind that ``of`` is.
        rebuild: makes the same of a copy of ``of``; picklable.
    """
    kind: Any = type(of)
    return _class_for(kind, _kind(of))(of, call, rebuild)


def _kind(of: Any) -> str:
    if is_kind(inspect.iscoroutinefunction, of):
        return "coroutine"
    return "generator" if is_kind(inspect.isgeneratorfunction, of) else "function"


@functools.lru_cache(maxsize=256)
def _class_for(kind: Any, call: str) -> type[Recorded]:
    namespace: dict[str, Any] = {"__slots__": (), "__call__": _CALLS[call]}
    for name in ("__doc__", "__module__"):  # or the class would get its own
        namespace[name] = vars(Recorded)[name]
    for name in dir(kind):
        if name.startswith("__") and name.endswith("__") and name not in _OWN:
            special = getattr(kind, name, None)
            if (callable(special) and special is not getattr(object, name, None)) or name in {
                "__repr__",
                "__str__",
            }:
                namespace[name] = _forwarded(name)
    if kind.__hash__ is None:
        namespace["__hash__"] = None
    if hasattr(kind, "__get__"):
        namespace["__get__"] = _get
    return type(kind.__name__, (Recorded,), namespace)


def _forwarded(name: str) -> Callable[..., Any]:
    def forwarded(self: Any, *args: Any, **kwargs: Any) -> Any:
        of = self._ragwheel_object
        result = getattr(type(of), name)(of, *args, **kwargs)
        return self if result is of else result

    forwarded.__name__ = name
    return forwarded


def _get(self: Any, instance: Any, owner: Any = None) -> Any:
    """As a method: of a class whose attribute this is."""
    of = self._ragwheel_object
    if instance is None or type(of).__get__(of, instance, owner) is of:
        return self
    return MethodType(self, instance)


def _function(self: Any, /, *args: Any, **kwargs: Any) -> Any:
    return self._ragwheel_call(*args, **kwargs)


async def _coroutine(self: Any, /, *args: Any, **kwargs: Any) -> Any:
    return await self._ragwheel_call(*args, **kwargs)


def _generator(self: Any, /, *args: Any, **kwargs: Any) -> Any:
    return (yield from self._ragwheel_call(*args, **kwargs))


_CALLS: Final = {"function": _function, "coroutine": _coroutine, "generator": _generator}
