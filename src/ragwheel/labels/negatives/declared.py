"""What metadata says about age: which version of a chunk is no longer in force, and which one is older.

A declaration is somebody's word that a text no longer holds: ``superseded_by``, ``status``, ``valid_until``.
A date or a version only says which of two texts is older; the older one may still be true.
"""

from __future__ import annotations

import re
from datetime import datetime, timezone
from typing import Any, Final

from ragwheel.labels.negatives.corpus import CorpusChunk

__all__ = ["Stamp", "declared", "older", "predecessors", "stamp", "successors"]

_SUCCESSOR: Final = ("superseded_by", "supersededby", "replaced_by", "replacedby")
_PREDECESSOR: Final = ("supersedes", "replaces")
_STATUS: Final = ("status", "state", "lifecycle")
_PAST: Final = frozenset(
    ("superseded", "deprecated", "obsolete", "outdated", "archived", "withdrawn", "retired", "expired",
     "replaced")
)  # fmt: skip
_END: Final = ("valid_until", "valid_to", "expires", "expires_at")
#: Metadata that dates a chunk, in the order in which it is believed.
_DATES: Final = (
    "version", "revision", "updated", "updated_at", "last_updated", "modified", "last_modified", "date",
    "published", "published_at", "created_at", "year",
)  # fmt: skip
_NUMBERS: Final = re.compile(r"\d+")
_IN_TEXT: Final = re.compile(
    r"(?:version|release|v)\.?\s*(\d+(?:\.\d+)+)|\b((?:19|20)\d\d-\d\d-\d\d)\b", re.IGNORECASE
)

Stamp = tuple[str, tuple[int, ...]]


def declared(old: CorpusChunk, new: CorpusChunk) -> bool:
    """Somebody says that ``old`` is no longer in force, and of ``new`` nobody does.

    A date of ``valid_until`` is past if ``new`` was first seen on a later day (UTC), so that a build gives
    the same rows whenever it runs.
    """
    return old.chunk_id in predecessors(new) or (
        _withdrawn(old, new.first_seen_ns) and not _withdrawn(new, new.first_seen_ns)
    )


def successors(chunk: CorpusChunk) -> list[str]:
    """The ids that the chunk says it was superseded by."""
    return _names(chunk, _SUCCESSOR)


def predecessors(chunk: CorpusChunk) -> list[str]:
    """The ids that the chunk says it supersedes."""
    return _names(chunk, _PREDECESSOR)


def _names(chunk: CorpusChunk, keys: tuple[str, ...]) -> list[str]:
    found: list[str] = []
    for key in keys:
        value: Any = chunk.facts.get(key)
        found += [str(each) for each in (value if isinstance(value, list) else [value]) if each]
    return found


def _withdrawn(chunk: CorpusChunk, seen_ns: int) -> bool:
    if successors(chunk):
        return True
    if any(str(chunk.facts.get(key, "")).strip().casefold() in _PAST for key in _STATUS):
        return True
    if any(chunk.facts.get(word) is True for word in _PAST):
        return True
    days = (_day(chunk.facts.get(key)) for key in _END)
    seen = datetime.fromtimestamp(seen_ns / 1e9, timezone.utc).date().isoformat()
    return any(day is not None and day < seen for day in days)


def _day(value: Any) -> str | None:
    """The day of an ISO 8601 date or time, as it stands there; None: it is none."""
    try:
        return datetime.fromisoformat(str(value)[:10]).date().isoformat()
    except ValueError:
        return None


def older(other: CorpusChunk, theirs: Stamp | None, than: CorpusChunk, own: Stamp | None) -> bool:
    """By what both are stamped with, else by when a version of the same id was first seen."""
    if theirs is not None and own is not None and theirs[0] == own[0] and theirs[1] != own[1]:
        return theirs[1] < own[1]
    same = (other.source, other.chunk_id) == (than.source, than.chunk_id)
    return same and other.first_seen_ns < than.first_seen_ns


def stamp(chunk: CorpusChunk, text: str) -> Stamp | None:
    """When, or in which version, a chunk was written: what says so, and numbers; None: unknown."""
    for name in _DATES:
        numbers = tuple(int(found) for found in _NUMBERS.findall(str(chunk.facts.get(name, "")))[:6])
        if numbers:
            return name, numbers
    for version, day in _IN_TEXT.findall(text):
        return ("text version" if version else "text date"), tuple(
            int(found) for found in _NUMBERS.findall(version or day)
        )
    return None
