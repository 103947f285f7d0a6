"""A ranked list as arrays: ids, texts, scores and metadata in rank order.

Lists of one type whose fields are named as usual take a path without Python work per attribute. Everything
else goes record by record (:mod:`ragwheel.host.items`) or, where no name tells, column by column
(:mod:`ragwheel.host.tables`). Host objects are never changed, compared or ``str()``-ed.

Flags, besides those of :mod:`ragwheel.host.safe`: ``no_id`` (the text's hash stands in), ``repeated_id``
(one id with different texts: pass an ``adapter=``), ``bad_id``, ``bad_score``, ``broken_item`` (reading it
raised), ``unread_item`` (neither text nor id: an id of its own stands in), ``vector_left_out`` (an
embedding among the fields), ``looks_like_ids`` (texts that can only be keys), ``several_texts`` (several
fields could be the text, the likeliest was taken), ``ambiguous_score``, ``guessed: …`` (see
:mod:`ragwheel.host.certainty`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from math import isfinite
from typing import Any, NamedTuple
from uuid import uuid4

from ragwheel.guard import let_interrupts_through
from ragwheel.host import safe
from ragwheel.host.bulk import bulk, may_lie_elsewhere
from ragwheel.host.certainty import NOTHING_READABLE, Certainty, Unreadable
from ragwheel.host.clients import opened
from ragwheel.host.fields import is_named_tuple
from ragwheel.host.items import HostItem, is_blank, plain_id, record_row, score_value
from ragwheel.host.tables import rows_of_records, rows_of_tuples
from ragwheel.host.values import kind_of

__all__ = ["Columns", "columns", "content_hash", "identities", "identity", "quick", "read", "row"]

MAX_ID_CHARS = 1_000
_PLAIN_METADATA = {dict, type(None)}
_TEXTS_ONLY = {str}


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


def columns(items: Sequence[Any]) -> Columns:
    """Arrays of ``items``, best first, already cut to what is to be recorded.

    Raises:
        Unreadable: nothing can be told of them.
    """
    arrays = read(items)
    texts, flags = safe.texts(arrays.texts)
    return arrays._replace(texts=texts, flags=tuple(dict.fromkeys(arrays.flags + flags)))


def quick(items: Sequence[Any]) -> Columns | None:
    """Read items of one type whose fields are named as usual; None of all others. Never raises.

    Texts are exact ``str`` but not looked into yet (:func:`safe.texts`): looking for lone surrogates and NUL
    in forty texts costs more than everything else in here; who writes a text looks into it then.
    """
    flags: dict[str, None] = {}
    try:
        raw = bulk(items, flags) if items else None
        if raw is None or set(map(type, raw.texts)) != _TEXTS_ONLY:
            return None
        texts, scores, metadata = raw.texts, raw.scores, raw.metadata
        ids = _ids(raw.ids, texts, flags)
        if flags and ("unread_item" in flags or may_lie_elsewhere(raw, flags)):
            return None
        if scores is not None:
            scores = _scores(scores, flags)
        if metadata is not None:
            metadata = _metadata(metadata)
        return Columns(ids, texts, scores, metadata, tuple(flags))
    except Exception as exc:  # an item that differs from the first, or breaks: found out one by one
        let_interrupts_through(exc)
        return None


def read(items: Sequence[Any]) -> Columns:
    """:func:`columns` with texts that are exact ``str`` but not looked into yet, as :func:`quick` gives them.

    Raises:
        Unreadable: nothing can be told of them.
    """
    columns = quick(items)
    if columns is not None:
        return columns
    certainty = Certainty()
    rows = _rows(items, certainty)
    _check(rows)
    texts, changes = safe.texts([row.text for row in rows])
    certainty.flags.update(dict.fromkeys(changes))
    flags = certainty.flags
    return Columns(
        ids=_ids(_with_addresses(rows), texts, flags),
        texts=texts,
        scores=_scores([row.score for row in rows], flags),
        metadata=_metadata([row.metadata for row in rows]),
        flags=certainty.words(),
    )


def row(item: Any, flags: dict[str, None]) -> HostItem:
    """Return the parts of one item, whatever its type. Never raises."""
    certainty = Certainty()
    try:
        return _rows([item], certainty)[0]
    except Exception as exc:  # nothing can be told of it
        let_interrupts_through(exc)
        return HostItem()
    finally:
        flags.update(certainty.flags)


def identity(item: object) -> str | None:
    """The id under which :func:`columns` records ``item``; None of what holds no chunk.

    A ``str`` is taken for a chunk's text, as there: whoever also accepts ids looks those up first.
    A whole number or a UUID is an id.
    """
    return next(iter(identities(item)), None)


def identities(item: object) -> list[str]:
    """The ids under which a chunk may be recorded, likeliest first: its own, its address, its text's hash."""
    kind = type(item)
    if item is None or kind in (bool, float):
        return []
    if not issubclass(kind, (str, bytes, bytearray)) and kind_of(item) in ("key", "int"):
        plain = plain_id(item)
        return [] if plain is None else [safe.text(plain, MAX_ID_CHARS)[0]]
    parts = row(item, {})
    text, missing = safe.text(parts.text)
    out: list[str] = []
    for value in (parts.id, parts.address):
        plain = plain_id(value)
        if plain is not None:
            out.append(safe.text(plain, MAX_ID_CHARS)[0])
    if text and {"no_text", "not_text"}.isdisjoint(missing):
        out.append(text_id(text))
    return out


def text_id(text: str) -> str:
    """Return the id of a chunk that has none of its own: the hash of its text."""
    return "text:" + content_hash(safe.text(text)[0]).hex()[:16]


@lru_cache(maxsize=8192)
def _short_hash(text: str) -> bytes:
    return blake2b(text.encode(), digest_size=16).digest()


def content_hash(text: str) -> bytes:
    """BLAKE2b-128 of a clean text's UTF-8 form, remembered for 8,192 texts of up to 4,000 characters."""
    return _short_hash(text) if len(text) <= 4000 else blake2b(text.encode(), digest_size=16).digest()


# ---- record by record, column by column -------------------------------------------------------------


def _rows(items: Sequence[Any], certainty: Certainty) -> list[HostItem]:
    """Rows of items of any types.

    Raises:
        Unreadable: nothing can be told of them.
    """
    items = list(map(_opened, items))
    kinds = {_form(item) for item in items}
    if len(kinds) == 1:
        kind = kinds.pop()
        if kind == "tuple" and len(set(map(len, items))) == 1:
            return rows_of_tuples(items, certainty)
        if kind == "record":
            return rows_of_records(items, certainty)
    rows = []
    for item in items:
        try:
            rows.append(_row(item, certainty))
        except Unreadable:
            rows.append(HostItem())
    return rows


def _opened(item: Any) -> Any:
    """An item of a known client's class as plain values; itself where that raises."""
    try:
        return opened(item, 1)
    except Exception as exc:  # the host's own code, or a query that has not been run
        let_interrupts_through(exc)
        return item


def _row(item: Any, certainty: Certainty) -> HostItem:
    form = _form(item)
    if form == "tuple":
        return rows_of_tuples([item], certainty)[0] if len(item) else HostItem()
    if form == "id":
        return HostItem(id=item)
    return record_row(item, certainty.flags)


def _form(item: Any) -> str:
    kind = type(item)
    if issubclass(kind, (str, bytes, bytearray)) or item is None:
        return "text"
    if issubclass(kind, (tuple, list)) and not is_named_tuple(kind) and not hasattr(kind, "keys"):
        return "tuple"
    try:
        return "id" if kind_of(item) in ("int", "key") else "record"
    except Exception as exc:  # the host's own code
        let_interrupts_through(exc)
        return "record"


def _check(rows: list[HostItem]) -> None:
    """Refuse a list of which no row has a text or an id.

    Raises:
        Unreadable: there are rows, and none has either.
    """
    if rows and not any(not is_blank(row.text) or plain_id(row.id) or row.address for row in rows):
        raise Unreadable(NOTHING_READABLE)


def _with_addresses(rows: list[HostItem]) -> list[Any]:
    """Ids, and addresses where there are none, unless two texts have the same address."""
    addresses = {row.address for row in rows if plain_id(row.id) is None and row.address}
    if len(addresses) < sum(1 for row in rows if plain_id(row.id) is None and row.address):
        return [row.id for row in rows]
    return [row.id if row.id is not None else row.address for row in rows]


# ---- checking the columns --------------------------------------------------------------------------


def _ids(raw: Sequence[Any] | None, texts: list[str], flags: dict[str, None]) -> list[str]:
    kinds: set[type] = {type(None)} if raw is None else set(map(type, raw))
    if raw is None or kinds == {type(None)}:
        flags["no_id"] = None
        texts = safe.texts(texts)[0]
        if "" in texts:
            return [_unread(text, flags) or text_id(text) for text in texts]
        return ["text:" + content_hash(text).hex()[:16] for text in texts]
    ids = list(raw)
    if kinds == {int} and max(map(int.bit_length, ids)) < 64:
        ids, kinds = list(map(int.__repr__, ids)), {str}
    if kinds != {str} or "" in ids or not safe.all_clean(ids, MAX_ID_CHARS):
        ids = [_id(value, text, flags) for value, text in zip(ids, texts, strict=True)]
    if len(set(ids)) < len(ids):
        text_of = dict(zip(ids, texts, strict=True))
        if list(map(text_of.get, ids)) != texts:  # a text is compared with itself at once, hashed never
            flags["repeated_id"] = None
    return ids


def _id(value: object, text: str, flags: dict[str, None]) -> str:
    plain = plain_id(value)
    if plain is None:
        flags["no_id" if value is None or issubclass(type(value), str) else "bad_id"] = None
        return _unread(text, flags) or text_id(text)
    out, flags_of_id = safe.text(plain, MAX_ID_CHARS)
    flags.update(dict.fromkeys(flags_of_id))
    return out


def _unread(text: str, flags: dict[str, None]) -> str | None:
    """An id that nothing else has, for an item without text and id: two of these are not one chunk."""
    if text:
        return None
    flags["unread_item"] = None
    return "unread:" + uuid4().hex[:16]


def _scores(raw: Sequence[Any], flags: dict[str, None]) -> list[float | None] | None:
    kinds = set(map(type, raw))
    if kinds == {type(None)}:
        return None
    if kinds == {float} and isfinite(sum(raw)):  # finite only if all are
        return list(raw)
    out = [safe.number(score_value(value)) for value in raw]
    if any(score is None and value is not None for score, value in zip(out, raw, strict=True)):
        flags["bad_score"] = None
    return out if any(score is not None for score in out) else None


def _metadata(raw: Sequence[Any]) -> list[Mapping[Any, Any] | None] | None:
    if set(map(type, raw)) <= _PLAIN_METADATA:
        return list(raw) if any(raw) else None
    return [m if m is None or issubclass(type(m), Mapping) else {"metadata": m} for m in raw]
