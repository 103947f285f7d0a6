"""The id of a chunk outside the store: in exported collections, in runs, and in an evaluation."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import quote

__all__ = ["document_id", "several_sources"]

_IN_IDS: Final = re.compile(r"[\s%]")
_IN_SOURCES: Final = re.compile(r"[\s%/]")
_EVALSET: Final = "evalset:"


def several_sources(sources: Iterable[str]) -> bool:
    """Whether ids alone are not unique, because chunks come from several sources of the app."""
    return len({source for source in sources if not source.startswith(_EVALSET)}) > 1


def document_id(source: str, chunk_id: str, *, several: bool = True) -> str:
    """A chunk's id in another tool: ``source/id``, or the app's own id where there is only one source.

    Blanks and ``%`` are percent-encoded, since the files of TREC are split at blanks, and so is a slash in
    the source: two chunks never share an id.

    Args:
        source: the source that the chunk came from.
        chunk_id: the app's id of the chunk.
        several: whether the chunks come from several sources (:func:`several_sources`). Chunks that an
            evaluation set brought keep their source (``evalset:NAME/id``) in either case.
    """
    name = _IN_IDS.sub(_encoded, chunk_id)
    if several or source.startswith(_EVALSET):
        return f"{_IN_SOURCES.sub(_encoded, source)}/{name}"
    return name


def _encoded(match: re.Match[str]) -> str:
    return quote(match[0], safe="")
