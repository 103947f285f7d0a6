"""How records with one set of field names are read, worked out once per set.

The fast path of :mod:`ragwheel.host.columns` asks for it once per result; what it cannot promise by names
alone (a blank text beside another text field, no id beside a body that may hold one) it marks, so that the
values decide.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from ragwheel.host.items import rest
from ragwheel.host.names import BODIES, WRAPPERS, normal, part_names

__all__ = ["Layout", "layout_of"]

_METADATA = ("metadata", "meta")


class Layout(NamedTuple):
    """Which fields hold which part.

    Attributes:
        parts: the fields of id, text, score and metadata; None of what there is not.
        text: the field of the text; None: it has to be looked for in the values.
        wrapped: the field that may hold the chunk itself.
        other_texts, other_scores: whether further fields may hold the part.
        several_texts: whether these are fields of the record itself.
        rank: the field called so, which is a score only with fractions (PostgreSQL's ``ts_rank``).
        other_ids: the fields that may hold an id where the usual one has none.
        holds_id: whether, as metadata, the fields name the chunk (``_id``, ``chunk_id``).
        others: the fields that become metadata.
        left_out: the fields that are vectors.
        flags: what this set of names alone gives to flag.
    """

    parts: tuple[str | None, str | None, str | None, str | None]
    text: str | None
    wrapped: str | None
    other_ids: tuple[str, ...]
    other_texts: bool
    several_texts: bool
    other_scores: bool
    rank: str | None
    holds_id: bool
    others: tuple[str, ...]
    left_out: tuple[str, ...]
    flags: tuple[str, ...]


@lru_cache(maxsize=1024)
def layout_of(names: tuple[str, ...]) -> Layout:
    """Return how records with these fields are read."""
    public = tuple(name for name in names if type(name) is str)
    ids, similar_ids = part_names(public, "id")
    texts = part_names(public, "text")[0]
    scores = part_names(public, "score")[0]
    addresses = part_names(public, "address")[0]
    words = {normal(name): name for name in reversed(public)}
    text = texts[0] if texts else None
    score = next((name for name in scores if normal(name) != "rank"), None)
    metadata = next((words[word] for word in _METADATA if word in words), None)
    wrapped = next((words[word] for word in WRAPPERS if word in words and words[word] != text), None)
    bodies = [words[word] for word in BODIES if word in words and words[word] not in (metadata, text)]
    parts = (ids[0] if ids else None, text, score, metadata)
    flags: dict[str, None] = {}
    others = () if metadata else tuple(rest(public, set(parts), flags))
    only_wrapped = (
        next((words[word] for word in WRAPPERS if word in words), None)
        if not text or normal(text) in WRAPPERS
        else None
    )
    return Layout(
        parts=parts,
        text=text,
        wrapped=wrapped if text is None else only_wrapped,
        other_ids=(*ids[1:], *similar_ids, *addresses, *bodies, *([wrapped] if wrapped else [])),
        other_texts=len(texts) > 1 or bool(metadata or bodies or wrapped),
        several_texts=len(texts) > 1 or bool(bodies or wrapped),
        other_scores=len(scores) > 1,
        rank=words.get("rank") if score is None else None,
        holds_id=bool(
            {"chunkid", "xamzbedrockkbchunkid", "nodeid", "pointid", "passageid", "pk", "uuid"} & words.keys()
        )
        or "_id" in public,
        others=others,
        left_out=tuple(name for name in public if name not in {*parts, *others}),
        flags=tuple(flags),
    )
