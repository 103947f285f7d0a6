"""Client classes whose objects cannot be read as they stand: one small entry each, by module name.

Nothing is imported for it. An entry turns an object into plain lists, mappings and scalars without running
a query, loading a relation or using anything up, or says that this cannot be done. :func:`reads` adds
entries of the app's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final
from weakref import WeakKeyDictionary

from ragwheel.errors import ConfigurationError
from ragwheel.guard import let_interrupts_through
from ragwheel.host.clients import databases, frames, services
from ragwheel.host.clients.excerpt import Excerpt, Opener

__all__ = ["Excerpt", "Opener", "opened", "opener_of", "reads"]

_openers: Final[dict[str, Opener]] = {**frames.OPENERS, **databases.OPENERS, **services.OPENERS}
_by_type: WeakKeyDictionary[type, Opener | None] = WeakKeyDictionary()
_registered: Final[dict[type | str, Callable[[Any], Any]]] = {}


def reads(type: type | str, adapter: Callable[[Any], Any]) -> None:  # noqa: A002 - the contract's name
    """Say how objects of one type are read, wherever a retriever returns them.

    Args:
        type: the class of a returned item or of a whole result; or its name, such as
            ``"acme.search.Hit"``, so that nothing has to be imported. Subclasses are meant, too.
        adapter: gets such an object and returns a dict with ``id``, ``text``, ``score`` and ``metadata``, a
            list of these, or anything else that ragwheel reads. If it raises, the object is read without it.

    Raises:
        ConfigurationError: `type` is no class or name, or `adapter` cannot be called.
    """
    if type == "" or not issubclass(_TYPE(type), (_TYPE, str)):
        raise ConfigurationError(
            f"reads(type={type!r:.100}): allowed: a class, or its name: 'package.module.Class'"
        )
    if not callable(adapter):
        raise ConfigurationError(f"reads(adapter={adapter!r:.100}): allowed: a function of one object")
    _registered[type] = adapter
    _by_type.clear()


_TYPE: Final = type


def opened(value: Any, limit: int) -> Any:
    """Return `value` as plain lists and mappings where an entry knows its class, else `value` itself.

    Raises what an entry raises, :class:`~ragwheel.host.certainty.Unreadable` among it.
    """
    opener = opener_of(type(value))
    return value if opener is None else opener(value, limit)


def opener_of(kind: type) -> Opener | None:
    """Return the entry for objects of `kind`; None: they are read as they stand."""
    try:
        return _by_type[kind]
    except KeyError:
        opener = _by_type[kind] = _lookup(kind)
        return opener


def _lookup(kind: type) -> Opener | None:
    for base in kind.__mro__:
        adapter = _registered.get(base) or _registered.get(f"{base.__module__}.{base.__qualname__}")
        if adapter is not None:
            return _adapting(adapter)
    if hasattr(kind, "__mapper__"):  # mapped by SQLAlchemy, whatever it derives from
        return _openers["sqlalchemy"]
    for base in kind.__mro__:
        opener = _openers.get(str(base.__module__).partition(".")[0])
        if opener is not None:
            return opener
    return None


def _adapting(adapter: Callable[[Any], Any]) -> Opener:
    def opener(value: Any, _limit: int) -> Any:
        try:
            return adapter(value)
        except Exception as exc:  # the host's own code
            let_interrupts_through(exc)
            return value

    return opener
