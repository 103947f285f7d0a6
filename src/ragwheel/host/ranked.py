"""Find the ranked list in whatever a retriever returned: the first of the three steps of reading a result.

Lists and tuples are it, or hold it (one answer in a list of answers, chunks beside their scores). Mappings
and response objects hold it in one of their fields, perhaps some levels down, or are parallel lists. The
search is bounded in depth and width, runs no property, iterates over nothing that can be read only once,
and refuses what holds the lists of several questions.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence, ValuesView
from collections.abc import Set as AbstractSet
from itertools import islice
from typing import Any, Final, NamedTuple

from ragwheel.guard import let_interrupts_through
from ragwheel.host import clients, parallel
from ragwheel.host.certainty import ITERATOR, NO_CHUNKS, SEVERAL_ANSWERS, SEVERAL_LISTS, Unreadable
from ragwheel.host.fields import fields_of, is_lazy_query, is_named_tuple
from ragwheel.host.names import NEVER_HOLDERS, WRAPPERS, normal, ranked_names
from ragwheel.host.recognise import (
    are_chunks,
    has_id,
    has_own_text,
    is_answer,
    is_chunk,
    is_list,
    is_name,
    is_plain_list,
)
from ragwheel.host.values import is_number, kind_of

__all__ = ["Ranked", "find", "sequence"]

_MAX_DEPTH: Final = 6
_MAX_FIELDS: Final = 60
_MAX_VISITS: Final = 400
_READ_ONCE: Final = ("__next__", "__anext__", "__await__")


class Ranked(NamedTuple):
    """A ranked list: its first items, and how many there are in all."""

    items: list[Any]
    total: int


def find(result: Any, limit: int) -> Ranked:
    """Return the first `limit` items of the ranked list in `result`.

    Raises:
        Unreadable: there is none, or there are several. Other exceptions are those of the host's own code.
    """
    ranked = _Search(limit).find(result, 0)
    if ranked is None:
        raise Unreadable(NO_CHUNKS)
    return ranked


def sequence(value: Any, limit: int) -> Ranked | None:  # noqa: PLR0911 - one return per kind
    """Return the first items of a list, tuple or other sequence that can be read again; None of all else."""
    kind = type(value)
    if kind is clients.Excerpt:
        return Ranked(value[:limit], value.total)
    for base in (list, tuple):
        if issubclass(kind, base):
            if is_named_tuple(kind):
                return None
            if kind.__iter__ is base.__iter__:
                items: Any = base.__getitem__(value, slice(limit))
                return Ranked(list(items), base.__len__(value))
            return _own_list(value, base, limit)  # it makes its items when they are asked for
    if issubclass(kind, (str, bytes, bytearray, Mapping)):
        return None
    if issubclass(kind, (Sequence, AbstractSet, ValuesView, deque)):
        if is_lazy_query(kind):
            raise Unreadable(ITERATOR)
        return Ranked(list(islice(iter(value), limit)), len(value))
    if kind.__module__ == "array":
        return Ranked(list(value[:limit]), len(value))
    if hasattr(kind, "__len__") and hasattr(kind, "__getitem__") and not hasattr(kind, "keys"):
        if is_lazy_query(kind):
            raise Unreadable(ITERATOR)
        total = len(value)
        return Ranked([value[n] for n in range(min(total, limit))], total)
    return None


def _own_list(value: Any, base: type, limit: int) -> Ranked:
    try:
        return Ranked([value[n] for n in range(min(len(value), limit))], len(value))
    except Exception as exc:  # the host's own code: what the list itself holds
        let_interrupts_through(exc)
        return Ranked(list(islice(base.__iter__(value), limit)), base.__len__(value))  # type: ignore[attr-defined]


class _Search:
    """One search, with what is left of its budget and the objects that it is inside of."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.visits = 0
        self.inside: set[int] = set()

    def find(self, value: Any, depth: int) -> Ranked | None:
        """The ranked list in `value`; None: there is none."""
        self.visits += 1
        if value is None:
            return Ranked([], 0) if depth == 0 else None
        if issubclass(type(value), (str, bytes)):
            return Ranked([value], 1) if depth == 0 else None
        if depth > _MAX_DEPTH or self.visits > _MAX_VISITS or id(value) in self.inside:
            return None
        self.inside.add(id(value))
        try:
            return self._look(clients.opened(value, self.limit), depth)
        finally:
            self.inside.discard(id(value))

    def _look(self, value: Any, depth: int) -> Ranked | None:
        kind = type(value)
        if any(hasattr(kind, method) for method in _READ_ONCE):
            raise Unreadable(ITERATOR)
        if is_number(value) or kind is bool:
            return None
        ranked = sequence(value, self.limit)
        if ranked is None:
            if is_lazy_query(kind) and not issubclass(kind, Mapping):
                raise Unreadable(ITERATOR)
            return self._in_fields(value, fields_of(value), depth)
        if issubclass(kind, tuple) and depth <= 1 and 1 < ranked.total <= 8:
            beside = self._beside(ranked.items, depth)
            if beside is not None:
                return beside
        return self._in_items(ranked, depth)

    # ---- lists and tuples

    def _beside(self, parts: list[Any], depth: int) -> Ranked | None:
        """A tuple with a list in it: (chunks, scores), (text, chunks), (chunks, anything); else None."""
        opened = [clients.opened(part, self.limit) for part in parts]
        lists = [part for part in opened if is_list(part)]
        if not lists:
            kinds = {kind_of(part) for part in opened} - {"none"}
            if len(kinds) > 1 and not kinds & {"record", "list"}:
                return Ranked([tuple(opened)], 1)  # one row
            if kinds in ({"record", "text"}, {"record", "word"}):
                holders = [part for part in opened if kind_of(part) == "record"]
                return self.find(holders[0], depth + 1) if len(holders) == 1 else None
            return None
        columns = parallel.of_lists(lists, self.limit)
        if columns is not None:
            return Ranked(*columns)
        if len(lists) == len(parts) and all(issubclass(type(part), tuple) for part in parts):
            return None  # rows, or answers
        ranked = [ranking for part in lists if (ranking := self._list_of_chunks(part, depth)) is not None]
        filled = [ranking for ranking in ranked if ranking.total]
        if len(filled) > 1:
            raise Unreadable(SEVERAL_LISTS)
        return filled[0] if filled else next(iter(ranked), None)

    def _list_of_chunks(self, value: Any, depth: int) -> Ranked | None:
        try:
            return self.find(value, depth + 1)
        except Unreadable as error:
            if error.reason == NO_CHUNKS:
                return None
            raise

    def _in_items(self, ranked: Ranked, depth: int) -> Ranked | None:
        """The list itself, or what its items hold."""
        items = ranked.items
        if not items:
            return ranked
        first = next((item for item in items if item is not None), None)
        first = clients.opened(first, self.limit) if first is not None else None
        if issubclass(type(first), tuple) and not is_named_tuple(type(first)):
            return self.find(first, depth + 1) if ranked.total == 1 and is_answer(first) else ranked
        if is_plain_list(first) and all(is_plain_list(clients.opened(item, 1)) for item in items):
            return self._in_lists(ranked, depth)
        kind = kind_of(first) if first is not None else "none"
        if kind == "record":
            return self._in_records(ranked, first, depth)
        if kind in ("float", "flag", "time", "vector"):
            return None  # a vector, a list of scores
        return ranked

    def _in_lists(self, ranked: Ranked, depth: int) -> Ranked | None:
        """A list of lists: the only answer, rows, or parallel lists; several answers are refused."""
        lists = [clients.opened(item, self.limit) for item in ranked.items]
        if ranked.total == 1:
            inner = sequence(lists[0], self.limit)
            kinds = {kind_of(value) for value in inner.items} - {"none"} if inner is not None else set()
            if len(kinds) > 1 and not kinds & {"record", "list", "vector"}:
                return Ranked([tuple(lists[0])], 1)
            return self.find(ranked.items[0], depth + 1)
        if all(map(is_list, lists)):
            rows = parallel.of_rows(lists)
            if rows is not None:
                return Ranked(rows, ranked.total)
            columns = parallel.of_lists(lists, self.limit)
            if columns is not None:
                return Ranked(*columns)
        raise Unreadable(SEVERAL_ANSWERS)

    def _in_records(self, ranked: Ranked, first: Any, depth: int) -> Ranked | None:
        """A list of records: chunks, or responses and groups that hold chunks."""
        fields = fields_of(first)
        if has_own_text(fields) or depth >= _MAX_DEPTH:
            return ranked
        inner = [self._inner_list(item) for item in ranked.items]
        held = [ranking for ranking in inner if ranking is not None]
        if not held or (len(held) < len(inner) and ranked.total > 1):
            return ranked
        if ranked.total == 1:
            return held[0]
        if all(has_id(fields_of(clients.opened(item, 1))) for item in ranked.items):  # groups
            items = [item for ranking in held for item in ranking.items]
            return Ranked(items[: self.limit], sum(ranking.total for ranking in held))
        raise Unreadable(SEVERAL_ANSWERS)

    def _inner_list(self, item: Any) -> Ranked | None:
        """The list of records that an item of a list holds in a field named for it."""
        fields = fields_of(clients.opened(item, self.limit))
        for name in ranked_names(filter(is_name, fields)):
            value = clients.opened(fields[name], self.limit)
            if is_list(value) and value and kind_of(value[0]) in ("record", "list"):
                ranked = self.find(value, 2)
                if ranked is not None and any(
                    has_own_text(fields_of(each)) or has_id(fields_of(each)) for each in ranked.items[:3]
                ):
                    return ranked
        return None

    # ---- mappings and objects

    def _in_fields(self, value: Any, fields: Mapping[Any, Any], depth: int) -> Ranked | None:
        """The ranked list in the fields of a response, or the response as the only chunk."""
        if not fields:
            return Ranked([], 0) if issubclass(type(value), Mapping) else None
        columns = parallel.of_fields(fields, self.limit)
        if columns is not None:
            return Ranked(*columns)
        names = [
            name
            for name in islice(fields, _MAX_FIELDS)
            if not is_name(name) or normal(name) not in NEVER_HOLDERS
        ]
        named = [name for name in ranked_names(filter(is_name, names)) if name in names]
        ranked = self._in_named_lists(fields, named, depth)
        if ranked is not None and ranked.total:
            return ranked
        if is_chunk(fields):
            return Ranked([value], 1)
        by_key = parallel.by_key(fields, self.limit)
        if by_key is not None and are_chunks(by_key[0], "texts"):
            return Ranked(*by_key)
        others = [name for name in names if name not in named]
        deeper = self._in_other_lists(fields, others, depth) or self._deeper(fields, [*named, *others], depth)
        return deeper if deeper is not None and (deeper.total or ranked is None) else ranked

    def _in_named_lists(self, fields: Mapping[Any, Any], named: Iterable[Any], depth: int) -> Ranked | None:
        """The first list under a name that says so, an empty one only where no other has anything."""
        empty = None
        has_text = has_own_text(fields)
        for name in named:
            value = clients.opened(fields[name], self.limit)
            if not is_list(value):
                continue
            ranked = self.find(value, depth + 1)
            if ranked is None or (has_text and not are_chunks(ranked.items, name)):
                continue
            if ranked.total:
                return ranked
            empty = empty or ranked
        return empty

    def _in_other_lists(self, fields: Mapping[Any, Any], names: Iterable[Any], depth: int) -> Ranked | None:
        """The only list of chunks under a name that says nothing."""
        ranked: list[Ranked] = []
        for name in names:
            value = clients.opened(fields[name], self.limit)
            if is_list(value):
                ranking = self.find(value, depth + 1)
                if ranking is not None and (not ranking.total or are_chunks(ranking.items, name)):
                    ranked.append(ranking)
        filled = [ranking for ranking in ranked if ranking.total]
        if len(filled) > 1:
            questions = all(kind_of(name) == "text" for name in names)
            raise Unreadable(SEVERAL_ANSWERS if questions else SEVERAL_LISTS)
        return filled[0] if filled else next(iter(ranked), None)

    def _deeper(self, fields: Mapping[Any, Any], names: Iterable[Any], depth: int) -> Ranked | None:
        """The list in a record that the response holds; in one of a known name rather than in another."""
        ranked: list[Ranked] = []
        for name in names:
            if kind_of(fields[name]) == "record":
                ranking = self.find(fields[name], depth + 1)
                itself = ranking is not None and len(ranking.items) == 1 and ranking.items[0] is fields[name]
                if ranking is not None and (not itself or (is_name(name) and normal(name) in WRAPPERS)):
                    ranked.append(ranking)
                    if ranking.total and is_name(name) and ranked_names([name]):
                        return ranking
        filled = [ranking for ranking in ranked if ranking.total]
        if len(filled) > 1:
            raise Unreadable(SEVERAL_LISTS)
        return filled[0] if filled else next(iter(ranked), None)
