r"""What a retriever returned, as arrays: ids, texts, scores and metadata in rank order.

Duck-typed: nothing of LangChain, LlamaIndex, Haystack or a vector store is imported. Understood are
``str``; dicts and other mappings; ``(document, score)`` tuples, ``(id, text)`` and ``(id, text, score)``;
and objects (dataclasses, pydantic models, named tuples, plain classes) with these names:

======== ================================================================ =======================
part     first of                                                         else
======== ================================================================ =======================
id       id, _id, chunk_id, doc_id, node_id, id\_                          ``text:`` + hash of the text
text     page_content, text, content, document                            the same names in the metadata,
                                                                          ``get_content()``
score    ``ragwheel.scores.SCORE_KEYS``                                   None
metadata metadata, meta, payload, _source                                 a mapping's other keys
======== ================================================================ =======================

``node`` and ``document`` may hold the document itself (LlamaIndex ``NodeWithScore``, search hits).
A list of one type takes a path without Python work per attribute; anything that does not fit it goes
item by item, and no item makes it raise. Host objects are never changed, compared or ``str()``-ed.

Flags, besides those of :mod:`ragwheel.host.safe`: ``no_id`` (the text's hash stands in),
``repeated_id`` (one id with different texts: pass an ``adapter=``), ``bad_id``, ``bad_score``,
``broken_item`` (reading it raised), ``vector_left_out`` (an embedding among a mapping's keys).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from math import isfinite
from operator import attrgetter, itemgetter
from typing import Any, NamedTuple

from ragwheel.host import safe
from ragwheel.host.items import Names, adapted, names_of, plain_id, rest, row

__all__ = ["Columns", "columns", "content_hash", "identity"]

MAX_ID_CHARS = 1_000


_Getter = Callable[[Any], Any]


class Columns(NamedTuple):
    """One ranked list as arrays of equal length; ``scores`` / ``metadata`` are None when no item has any.

    ``metadata`` holds the host's own mappings (or other objects, as ``{"metadata": object}``) by
    reference: encode them at once.
    """

    ids: list[str]
    texts: list[str]
    scores: list[float | None] | None
    metadata: list[Mapping[Any, Any] | None] | None
    flags: tuple[str, ...]


@dataclass(slots=True)
class _Raw:
    """The columns as the host had them, before anything is checked; None where no item has the part."""

    ids: Sequence[Any] | None
    texts: list[Any]
    scores: Sequence[Any] | None
    metadata: Sequence[Any] | None


def columns(items: Sequence[Any], adapter: Callable[[Any], Any] | None = None) -> Columns:
    """Arrays of ``items``, best first, already cut to what is to be recorded. Never raises.

    ``adapter`` maps an item to any of the understood forms; an item on which it raises is recorded
    without text and flagged ``broken_item``.
    """
    found = read(items, adapter)
    texts, flags = safe.texts(found.texts)
    return found._replace(texts=texts, flags=tuple(dict.fromkeys(found.flags + flags)))


def read(items: Sequence[Any], adapter: Callable[[Any], Any] | None = None) -> Columns:
    """:func:`columns` with texts that are exact ``str`` but not looked into yet (:func:`safe.texts`).

    Looking for lone surrogates and NUL in forty texts costs more than everything else in here; whoever
    writes a text only once needs to look only then.
    """
    flags: dict[str, None] = {}
    given = list(items)
    if adapter is not None:
        given = [adapted(item, adapter, flags) for item in given]
    try:
        raw = _bulk(given, flags)
        bulk = raw is not None and set(map(type, raw.texts)) == {str}
    except Exception:  # an item that differs from the first, or breaks: found out one by one below
        raw, bulk = None, False
    if raw is None or not bulk:
        rows = [row(item, flags) for item in given]
        raw = _Raw(*([row[part] for row in rows] for part in range(4)))
    texts = raw.texts
    if not bulk:
        texts, found = safe.texts(texts)
        flags.update(dict.fromkeys(found))
    return Columns(
        ids=_ids(raw.ids, texts, flags),
        texts=texts,
        scores=_scores(raw.scores, flags),
        metadata=_metadata(raw.metadata),
        flags=tuple(flags),
    )


def identity(item: object) -> str | None:
    """The id under which :func:`columns` records ``item``; None of what holds no chunk.

    A ``str`` is taken for a chunk's text, as there: whoever also accepts ids looks those up first.
    An ``int`` is an id.
    """
    if type(item) is int:
        return safe.text(str(item), MAX_ID_CHARS)[0] if item.bit_length() < 10_000 else None
    if item is None or type(item) in (bool, float):
        return None
    flags: dict[str, None] = {}
    app_id, found, _, _ = row(item, flags)
    text, missing = safe.text(found)
    if plain_id(app_id) is None and not {"no_text", "not_text"}.isdisjoint(missing):
        return None
    return _id(app_id, text, flags)


@lru_cache(maxsize=8192)
def _short_hash(text: str) -> bytes:
    return blake2b(text.encode(), digest_size=16).digest()


def content_hash(text: str) -> bytes:
    """BLAKE2b-128 of a clean text's UTF-8 form, remembered for 8,192 texts of up to 4,000 characters."""
    return _short_hash(text) if len(text) <= 4000 else blake2b(text.encode(), digest_size=16).digest()


# ---- a whole list of one type ---------------------------------------------------------------------


def _bulk(items: list[Any], flags: dict[str, None]) -> _Raw | None:
    kinds = set(map(type, items))
    if len(kinds) != 1:
        return None
    kind = kinds.pop()
    if kind is str:
        return _Raw(None, items, None, None)
    if kind is tuple:
        return _bulk_pairs(items, flags)
    return _bulk_dicts(items, flags) if kind is dict else _bulk_objects(items, flags)


def _bulk_pairs(items: list[Any], flags: dict[str, None]) -> _Raw | None:
    if set(map(len, items)) != {2}:
        return None
    inner, scores = (list(part) for part in zip(*items, strict=True))
    if not set(map(type, scores)) <= {float, int}:
        return None
    raw = _bulk(inner, flags)
    if raw is not None:
        raw.scores = scores
    return raw


class _Layout(NamedTuple):
    """How dicts with the same keys are read.

    Getters of id, text, score and metadata, None of what they lack; the keys that become metadata;
    getters of what is left out.
    """

    parts: tuple[_Getter | None, ...]
    others: tuple[str, ...]
    left_out: tuple[_Getter, ...]
    flags: tuple[str, ...]


@lru_cache(maxsize=256)
def _layout(keys: tuple[str, ...]) -> _Layout:
    names = Names.among(keys)
    parts = (names.id, names.text, names.score, names.metadata)
    flags: dict[str, None] = {}
    others = () if names.metadata else tuple(rest(keys, set(parts), flags))
    left_out = tuple(itemgetter(key) for key in keys if key not in {*parts, *others})
    getters = tuple(itemgetter(name) if name else None for name in parts)
    return _Layout(getters, others, left_out, tuple(flags))


def _bulk_dicts(items: list[Any], flags: dict[str, None]) -> _Raw | None:
    """Dicts of the same keys: as many as the first has, and each of those, or getting it is a KeyError."""
    keys = tuple(items[0])
    if set(map(type, keys)) != {str} or set(map(len, items)) != {len(keys)}:
        return None
    layout = _layout(keys)
    if layout.parts[1] is None:
        return None
    ids, texts, scores, metadata = (list(map(part, items)) if part else None for part in layout.parts)
    if layout.others:
        metadata = [{key: item[key] for key in layout.others} for item in items]
    for part in layout.left_out:
        list(map(part, items))
    flags.update(dict.fromkeys(layout.flags))
    return _Raw(ids, texts or [], scores, metadata)


def _bulk_objects(items: list[Any], flags: dict[str, None]) -> _Raw | None:
    names = names_of(items[0])
    if not names.closed and any(vars(item).keys() != vars(items[0]).keys() for item in items):
        return None  # each has attributes of its own

    def column(name: str | None) -> list[Any] | None:
        return list(map(attrgetter(name), items)) if name else None

    if names.wrapped and names.wrapped != names.text:
        raw = _bulk(column(names.wrapped) or [], flags)
        if raw is not None and names.score:
            raw.scores = column(names.score)
        return raw
    texts = column(names.text)
    if texts is None:
        return None
    return _Raw(column(names.id), texts, column(names.score), column(names.metadata))


# ---- checking the columns --------------------------------------------------------------------------


def _ids(raw: Sequence[Any] | None, texts: list[str], flags: dict[str, None]) -> list[str]:
    kinds: set[type] = {type(None)} if raw is None else set(map(type, raw))
    if raw is None or kinds == {type(None)}:
        flags["no_id"] = None
        return ["text:" + content_hash(text).hex()[:16] for text in safe.texts(texts)[0]]
    ids = list(raw)
    if kinds == {int} and max(map(int.bit_length, ids)) < 64:
        ids, kinds = list(map(int.__repr__, ids)), {str}
    if kinds != {str} or "" in ids or not safe.all_clean(ids, MAX_ID_CHARS):
        ids = [_id(value, text, flags) for value, text in zip(ids, texts, strict=True)]
    if len(set(ids)) < len(ids) and len(set(zip(ids, texts, strict=True))) > len(set(ids)):
        flags["repeated_id"] = None
    return ids


def _id(value: object, text: str, flags: dict[str, None]) -> str:
    plain = plain_id(value)
    if plain is None:
        flags["no_id" if value is None or issubclass(type(value), str) else "bad_id"] = None
        return "text:" + content_hash(safe.text(text)[0]).hex()[:16]
    out, found = safe.text(plain, MAX_ID_CHARS)
    flags.update(dict.fromkeys(found))
    return out


def _scores(raw: Sequence[Any] | None, flags: dict[str, None]) -> list[float | None] | None:
    kinds = {type(None)} if raw is None else set(map(type, raw))
    if raw is None or kinds == {type(None)}:
        return None
    if kinds == {float} and isfinite(sum(raw)):  # finite only if all are
        return list(raw)
    out = [safe.number(value) for value in raw]
    if any(score is None and value is not None for score, value in zip(out, raw, strict=True)):
        flags["bad_score"] = None
    return out if any(score is not None for score in out) else None


def _metadata(raw: Sequence[Any] | None) -> list[Mapping[Any, Any] | None] | None:
    if raw is None:
        return None
    if set(map(type, raw)) <= {dict, type(None)}:
        return list(raw) if any(raw) else None
    return [m if m is None or issubclass(type(m), Mapping) else {"metadata": m} for m in raw]
