"""Rows and models of databases: SQLAlchemy, SQLModel, Django, peewee, MongoEngine, Neo4j.

Only what an object has loaded already is read. A relation, a deferred column or a query that has not been
run would be fetched from the database by asking for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ragwheel.host.certainty import ITERATOR, Unreadable
from ragwheel.host.clients.excerpt import Opener

__all__ = ["OPENERS"]

_STATE: Final = "_sa_instance_state"
_SCALARS: Final = (str, bytes, int, float)


def _held(value: Any) -> dict[str, Any]:
    return object.__getattribute__(value, "__dict__") if type(value).__dictoffset__ else {}


def _sqlalchemy(value: Any, _limit: int) -> Any:
    """A row as a mapping, or a tuple if it holds mapped objects; of a mapped object the loaded columns."""
    kind = type(value)
    held = _held(value)
    if _STATE in held:
        return {name: field for name, field in held.items() if name[:1] != "_" and not _is_related(field)}
    if hasattr(kind, "_mapping") and hasattr(kind, "_asdict"):
        row = value._mapping
        if any(_STATE in _held(field) for field in row.values()):
            return tuple(row.values())
        return dict(row)
    if not issubclass(kind, (Mapping, *_SCALARS)) and any(
        hasattr(kind, name) for name in ("fetchall", "all", "order_by", "execution_options")
    ):
        raise Unreadable(ITERATOR)
    return value


def _is_related(field: Any) -> bool:
    """Whether a field holds another mapped object, or a collection of these."""
    return _STATE in _held(field) or hasattr(type(field), "_sa_adapter") or hasattr(field, "_sa_adapter")


def _django(value: Any, _limit: int) -> Any:
    """Loaded fields of a model; the rows of a query set that has been run."""
    held = _held(value)
    if "_result_cache" in held:
        if held["_result_cache"] is None:
            raise Unreadable(ITERATOR)
        return held["_result_cache"]
    if "_state" in held:
        return {name: field for name, field in held.items() if name[:1] != "_"}
    return value


def _peewee(value: Any, _limit: int) -> Any:
    """Loaded fields of a model, and what the query selected beside them."""
    held = _held(value)
    if "__data__" in held:
        return {**{k: v for k, v in held.items() if k[:1] != "_"}, **held["__data__"]}
    if hasattr(type(value), "execute"):
        raise Unreadable(ITERATOR)
    return value


def _mongoengine(value: Any, _limit: int) -> Any:
    data = _held(value).get("_data")
    if data is not None and issubclass(type(data), dict):
        return {name: field for name, field in dict.items(data) if field is not None}
    return value


def _neo4j(value: Any, _limit: int) -> Any:
    """A record by its keys, a node by its properties; a result that is still being fetched is left alone."""
    kind = type(value)
    if issubclass(kind, tuple) and issubclass(kind, Mapping):
        return dict(value.items())
    held = _held(value)
    if "_properties" in held:
        properties = dict(held["_properties"])
        element = held.get("_element_id")
        return properties if element is None else {"element_id": element, **properties}
    if hasattr(kind, "fetch") and hasattr(kind, "consume"):
        raise Unreadable(ITERATOR)
    return value


OPENERS: Final[dict[str, Opener]] = {
    "sqlalchemy": _sqlalchemy,
    "sqlmodel": _sqlalchemy,
    "django": _django,
    "peewee": _peewee,
    "playhouse": _peewee,
    "mongoengine": _mongoengine,
    "neo4j": _neo4j,
}
