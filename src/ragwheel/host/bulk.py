"""The fast path of reading: a list of one type whose fields are named as usual, column by column.

Nothing here works on a single attribute in Python: forty dicts, objects or tuples cost about as much as a
loop over them. What the usual fields cannot promise is refused here and read record by record.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter, itemgetter
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from ragwheel.host.clients import opener_of
from ragwheel.host.fields import outline
from ragwheel.host.layouts import Layout, layout_of
from ragwheel.host.values import is_key, kind_of

__all__ = ["Raw", "bulk", "may_lie_elsewhere"]


class Raw(NamedTuple):
    """The columns as the host had them, before anything is checked; None where no item has the part."""

    ids: Sequence[Any] | None
    texts: list[Any]
    scores: Sequence[Any] | None
    metadata: Sequence[Any] | None
    layout: Layout | None = None
    first: Any = None


def bulk(items: Sequence[Any], flags: dict[str, None]) -> Raw | None:
    """Return the columns of items of one type; None where names alone do not tell what is what."""
    kinds = set(map(type, items))
    if len(kinds) != 1:
        return None
    kind = kinds.pop()
    if kind is str:
        if " " not in items[0] and all(map(is_key, items)) and len(set(items)) == len(items):
            flags["looks_like_ids"] = None
        return Raw(None, list(items), None, None)
    if kind is tuple:
        return _bulk_tuples(items, flags)
    return _bulk_dicts(items, flags) if kind is dict else _bulk_objects(items, kind, flags)


def _bulk_tuples(items: Sequence[Any], flags: dict[str, None]) -> Raw | None:
    """(chunk, score), (text, score) and (id, text, score), where the first row's values leave no doubt."""
    width = len(items[0])
    if set(map(len, items)) != {width} or not 2 <= width <= 3:
        return None
    *inner, scores = map(list, zip(*items))
    if not set(map(type, scores)) <= {float, int} or type(scores[0]) is not float:
        return None
    if width == 3:
        ids, texts = inner
        sure = set(map(type, ids)) == {str} == set(map(type, texts)) and len(set(ids)) == len(ids)
        if (
            sure
            and all(map(is_key, ids))
            and kind_of(ids[0]) == "key"
            and " " in texts[0]
            and " " in texts[-1]
        ):
            return Raw(ids, texts, scores, None)
        return None
    chunks = inner[0]
    if type(chunks[0]) is str:
        return Raw(None, chunks, scores, None) if " " in chunks[0] and " " in chunks[-1] else None
    raw = bulk(chunks, flags) if type(chunks[0]) is not tuple else None
    return None if raw is None else Raw(raw.ids, raw.texts, scores, raw.metadata, raw.layout, raw.first)


def _bulk_dicts(items: Sequence[Any], flags: dict[str, None]) -> Raw | None:
    """Dicts of the same keys: as many as the first has, and each of those, or getting it is a KeyError."""
    keys = tuple(items[0])
    if set(map(type, keys)) != {str} or set(map(len, items)) != {len(keys)}:
        return None
    layout = layout_of(keys)
    id_name, text, score, metadata = layout.parts
    if text is None:
        return None
    raw = Raw(
        list(map(itemgetter(id_name), items)) if id_name else None,
        list(map(itemgetter(text), items)),
        list(map(itemgetter(score), items)) if score else None,
        list(map(itemgetter(metadata), items)) if metadata else None,
        layout,
        items[0],
    )
    if not _holds(layout, raw):
        return None
    if layout.others:
        others = [{key: item[key] for key in layout.others} for item in items]
        raw = Raw(raw.ids, raw.texts, raw.scores, others, layout, items[0])
    for key in layout.left_out:
        list(map(itemgetter(key), items))
    flags.update(dict.fromkeys(layout.flags))
    return raw


class _Objects(NamedTuple):
    """How objects of one type are read, and whether all of them have the same fields."""

    layout: Layout
    closed: bool


_by_type: WeakKeyDictionary[type, _Objects | None] = WeakKeyDictionary()


def _objects(first: Any, kind: type) -> _Objects | None:
    """How `first` and its kind are read by attribute; None where an entry or the values have to say."""
    try:
        return _by_type[kind]
    except KeyError:
        pass
    if opener_of(kind) is not None:
        return None
    names, closed, guarded = outline(first)
    layout = layout_of(names)
    wanted = (*layout.parts, layout.rank) if layout.text is not None else (layout.wrapped, layout.parts[2])
    objects = _Objects(layout, closed) if guarded.isdisjoint(filter(None, wanted)) else None
    if closed:
        _by_type[kind] = objects
    return objects


def _bulk_objects(items: Sequence[Any], kind: type, flags: dict[str, None]) -> Raw | None:
    first = items[0]
    objects = _objects(first, kind)
    if objects is None:
        return None
    layout, closed = objects
    if not closed:
        keys = vars(first).keys()
        if any(vars(item).keys() != keys for item in items):
            return None  # each has attributes of its own
    id_name, text, score, metadata = layout.parts
    if text is None:
        if layout.wrapped is None or id_name is not None:
            return None
        raw = bulk(list(map(attrgetter(layout.wrapped), items)), flags)
        if raw is None or score is None:
            return raw
        return Raw(
            raw.ids, raw.texts, list(map(attrgetter(score), items)), raw.metadata, raw.layout, raw.first
        )
    raw = Raw(
        list(map(attrgetter(id_name), items)) if id_name else None,
        list(map(attrgetter(text), items)),
        list(map(attrgetter(score), items)) if score else None,
        list(map(attrgetter(metadata), items)) if metadata else None,
        layout,
        first if kind.__dictoffset__ else None,
    )
    return raw if _holds(layout, raw) else None


def may_lie_elsewhere(raw: Raw, flags: dict[str, None]) -> bool:
    """Whether chunks without an id in the usual field may have one in another, or in their metadata."""
    layout = raw.layout
    if layout is None or ("no_id" not in flags and "bad_id" not in flags):
        return False
    first = raw.first
    for name in layout.other_ids:
        if _may_be_id(first[name] if type(first) is dict else first.__dict__.get(name)):
            return True
    metadata = raw.metadata
    if not metadata or type(metadata[0]) is not dict or not metadata[0]:
        return False
    return layout_of(tuple(metadata[0])).holds_id


def _holds(layout: Layout, raw: Raw) -> bool:
    """Whether the usual fields hold a text and a score, so that no other field has to be looked at."""
    texts, scores = raw.texts, raw.scores
    if layout.other_texts and ("" in texts if layout.several_texts else texts[0] == ""):
        return False
    if scores is None:
        first = raw.first
        rank = layout.rank
        return rank is None or type(first[rank] if type(first) is dict else getattr(first, rank)) is not float
    return not layout.other_scores or None not in scores


def _may_be_id(value: Any) -> bool:
    """Whether a field may hold an id, or a record that has one."""
    return kind_of(value) in ("record", "address", "key", "int")
