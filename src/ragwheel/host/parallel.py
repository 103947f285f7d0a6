"""Parallel lists and mappings by key as rows: ``{"ids": […], "documents": […]}``, ``{id: text}``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, Final

from ragwheel.host import clients
from ragwheel.host.certainty import SEVERAL_ANSWERS, Unreadable
from ragwheel.host.names import NEVER_HOLDERS, Part, normal, part_names
from ragwheel.host.values import is_key, kind_of, kinds_of

__all__ = ["by_key", "of_fields", "of_lists", "of_rows"]

Rows = tuple[list[Any], int]

_HEADERS: Final = ("columns", "fields", "header", "headers", "columnnames", "keys", "schema")
_TABLES: Final = ("rows", "data", "values", "records", "result", "results")
_METADATA: Final = frozenset({"metadata", "metadatas", "meta", "metas", "payload", "payloads"})
_SAMPLE: Final = 40
_SINGULARS: Final = {
    "indices": "id",
    "indexes": "id",
    "similarities": "similarity",
    "bodies": "body",
    "probabilities": "probability",
}


def of_fields(fields: Mapping[Any, Any], limit: int) -> Rows | None:
    """Rows of a mapping of columns, such as Chroma's; None of another mapping.

    Raises:
        Unreadable: the columns hold a list for each of several questions.
    """
    table = _table(fields, limit)
    if table is not None:
        return table
    lists = {
        name: clients.opened(fields[name], limit)
        for name in fields
        if type(name) is str and normal(name) not in NEVER_HOLDERS - {"metadatas"}
    }
    lists = {name: values for name, values in lists.items() if _is_list(values) and len(values)}
    parts = {name: part for name in lists if (part := _part(name)) is not None}
    if not {"id", "text"} & set(parts.values()):
        return None
    nested = [name for name in parts if all(_is_list(value) for value in lists[name])]
    if nested and any(len(lists[name]) > 1 for name in nested):
        if any(
            kind_of(value) not in ("record", "vector")
            for name in nested
            for inner in lists[name]
            for value in islice(inner, 1)
        ):
            raise Unreadable(SEVERAL_ANSWERS)
        return None
    if nested:
        lists = {
            name: clients.opened(v[0], limit) if len(v) == 1 and _is_list(v[0]) else v
            for name, v in lists.items()
        }
    return _of_columns(fields, lists, parts, limit)


def _of_columns(
    fields: Mapping[Any, Any], lists: dict[str, Any], parts: dict[str, str], limit: int
) -> Rows | None:
    main = next((n for part in ("text", "id") for n in lists if parts.get(n) == part), None)
    if main is None:
        return None
    total = len(lists[main])
    columns = {
        name: list(islice(iter(values), limit)) for name, values in lists.items() if len(values) == total
    }
    kinds = {name: kinds_of(values[:_SAMPLE]) for name, values in columns.items()}
    if kinds[main] in ("record", "list"):  # documents beside their scores
        scores = [
            name for name, kind in kinds.items() if kind in ("float", "int") and parts.get(name) == "score"
        ]
        return (
            ([*zip(columns[main], columns[scores[0]])], total) if scores and parts[main] == "text" else None
        )
    has_own_text = any(
        type(fields[name]) is str
        for name in part_names(tuple(n for n in fields if type(n) is str), "text")[0]
    )
    if has_own_text or (len(columns) == 1 and parts[main] == "text"):
        return None  # one chunk with lists among its fields; a list of texts
    out: dict[str, list[Any]] = {}
    for name, values in columns.items():
        part = "metadata" if normal(name) in _METADATA else parts.get(name)
        if part in ("id", "score") and kinds[name] not in (
            "key",
            "int",
            "word",
            "float",
            "none",
            None,
            "address",
            "text",
        ):
            part = None
        out.setdefault(part if part is not None and part not in out else name, values)
    return [dict(zip(out, row)) for row in zip(*out.values())], total


def _part(name: str) -> str | None:
    """The part of a chunk that a column of this name has: ``ids``, ``documents``, ``distances``."""
    word = normal(name)
    singular = _SINGULARS.get(word, word if word.endswith("ss") else word.removesuffix("s"))
    parts: tuple[Part, ...] = ("text", "id", "score")
    for part in parts:
        listed, similar = part_names((singular,), part)
        if listed or similar:
            return part
    return None


def _table(fields: Mapping[Any, Any], limit: int) -> Rows | None:
    """Rows of ``{"columns": ["id", "text"], "rows": [["a", "…"]]}``."""
    by_word = {normal(name): name for name in fields if type(name) is str}
    header: Any = next((fields[by_word[word]] for word in _HEADERS if word in by_word), None)
    rows: Any = next((fields[by_word[word]] for word in _TABLES if word in by_word), None)
    if not _is_list(header) or not _is_list(rows) or not rows:
        return None
    names = [
        name if type(name) is str else name.get("name") if type(name) is dict else None for name in header
    ]
    if None in names or not all(_is_list(row) and len(row) == len(names) for row in rows[:_SAMPLE]):
        return None
    return [dict(zip(names, row)) for row in islice(iter(rows), limit)], len(rows)


def of_lists(lists: Sequence[Any], limit: int) -> Rows | None:
    """Rows of unnamed columns: lists of one length, each of one kind of value, and not all of the same.

    Raises:
        Unreadable: each holds a list for each of several questions.
    """
    if len(lists) < 2:
        return None
    if all(_is_nested(values) for values in lists):
        if any(len(values) > 1 for values in lists):
            if all(
                not _is_list(value)
                or kind_of(value) == "vector"
                or kinds_of(list(value)) in ("float", "int", "text", "key")
                for values in lists
                for value in values
            ):
                raise Unreadable(SEVERAL_ANSWERS)
            return None
        lists = [clients.opened(values[0], limit) for values in lists]
    if len({len(values) for values in lists}) != 1 or not len(lists[0]):
        return None
    columns = [list(islice(iter(values), limit)) for values in lists]
    kinds = [kinds_of(values[:_SAMPLE]) for values in columns]
    if None in kinds or len(set(kinds)) < len(kinds) or "flag" in kinds:
        return None
    if kinds.count("record") > 1 or (len(columns[0]) == 1 and len(kinds) > 3):
        return None
    rows = list(zip(*columns))
    if set(kinds) == {"float", "int"}:  # FAISS pads what it did not find with -1
        whole = kinds.index("int")
        rows = [row for row in rows if row[whole] != -1]
        return rows, len(rows) if len(columns[0]) < limit else len(lists[0])
    return rows, len(lists[0])


def of_rows(lists: Sequence[Any]) -> list[tuple[Any, ...]] | None:
    """Lists of one length that are rows: one place holds one kind of value, another place another."""
    if len({len(row) for row in lists}) != 1 or len(lists[0]) < 2:
        return None
    kinds = [kinds_of(values) for values in zip(*lists)]
    inner = [kinds_of(list(row)) for row in lists]
    if None in kinds or "record" in kinds or len(set(kinds)) == 1 or all(kind is not None for kind in inner):
        return None
    return [tuple(row) for row in lists]


def by_key(fields: Mapping[Any, Any], limit: int) -> Rows | None:
    """Rows of a mapping from ids to texts, records, scores or tuples; None where the keys are no ids."""
    names = list(islice(fields, limit))
    if not all(type(name) is not str or is_key(name) for name in names) or any(
        type(n) in (bool, float) for n in names
    ):
        return None
    values = [fields[name] for name in names]
    kind = kinds_of(values)
    total = len(fields)
    if kind == "text":
        return [{"id": name, "text": value} for name, value in zip(names, values)], total
    if kind == "float":
        return [{"id": name, "score": value} for name, value in zip(names, values)], total
    if kind == "record":
        rows = [(name, value) for name, value in zip(names, values)]
        return rows, total
    if kind == "list" and all(issubclass(type(value), tuple) for value in values):
        return [(name, *value) for name, value in zip(names, values)], total
    return None


def _is_nested(values: Any) -> bool:
    return len(values) > 0 and all(_is_list(value) for value in islice(iter(values), 3))


def _is_list(value: Any) -> bool:
    kind = type(value)
    return (issubclass(kind, (list, tuple)) and not hasattr(kind, "_fields")) or kind.__module__ == "array"
