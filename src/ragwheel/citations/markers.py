"""Citation markers in text: ``[1]``, ``[2, 3]``, ``[1-3]``, ``【1†source】``, ``[doc1]``, ``[chunk-id]``.

The forms are those that models are prompted for or fall into: bracketed numbers (ALCE, Gao et al.,
EMNLP 2023; Bing Chat), lenticular brackets with a dagger (OpenAI's file search and browsing),
Markdown footnotes, and the labels of prompt templates (``Source 2``). Text in code spans and fenced
blocks, array indexing (``x[1]``, ``row_ids[2]``) and footnote definitions cite nothing. Numbers of
four digits and more are years or quantities, not positions.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Container, Iterator
from dataclasses import dataclass
from operator import itemgetter

__all__ = ["Marker", "markers"]

MAX_RANGE = 50

_BRACKET = re.compile(r"【([^【】\n]{1,200})】|\[([^\[\]\n]{1,200})\]")
_DAGGER = re.compile(r"\s*†.*", re.DOTALL)
_LABEL = r"(?:docs?|documents?|sources?|chunks?|passages?|ref|refs|references?|contexts?|citations?|id)"
_NUMBER = re.compile(
    rf"(?:{_LABEL}[\s_#:.-]*)?\^?(\d{{1,3}})(?:\s*(?:[-–—‑−]|to)\s*\^?(\d{{1,3}}))?", re.IGNORECASE
)
_LABELLED_ID = re.compile(rf"{_LABEL}\s*[:#=]\s*(\S.*)", re.IGNORECASE)
_SEPARATOR = re.compile(r"\s*(?:[,;、，]|\band\b|&)\s*")
_INDEXED_NAME = re.compile(r"(?:^|[^\w.'’])(?:[a-z]|[A-Za-z]\w*_\w*|_\w+|(?:self|this)[\w.]+|[a-z]\w*\(\))$")
_FENCE = re.compile(r"^[ \t>]{0,8}(`{3,}|~{3,})", re.MULTILINE)
_TICKS = re.compile(r"`+")


@dataclass(frozen=True, slots=True)
class Marker:
    """One reference in a marker. ``[2, 3]`` holds two references with the same text and span.

    ``position`` is 1-based in the list that the model saw, or ``app_id`` is the id in the brackets.
    """

    text: str
    start: int
    end: int
    position: int | None
    app_id: str | None


def markers(text: str, ids: Container[str] = frozenset()) -> Iterator[Marker]:
    """Return the markers of ``text`` in order. A bracket whose content is one of ``ids`` names that chunk.

    A number of up to three digits is a position, even where the ids are numbers too.
    """
    code = _code_spans(text)
    for match in _BRACKET.finditer(text):
        inner = (match[1] or match[2]).strip()
        references = _references(inner, ids)
        if references and not _in_code(code, match.start()) and not _is_something_else(text, match):
            for position, app_id in references:
                yield Marker(match[0], match.start(), match.end(), position, app_id)


def _references(inner: str, ids: Container[str]) -> list[tuple[int | None, str | None]]:
    """Return the (position, id) pairs in a bracket; none if it is no citation."""
    if inner in ids and not re.fullmatch(r"\d{1,3}", inner):
        return [(None, inner)]
    inner = _DAGGER.sub("", inner)
    out: list[tuple[int | None, str | None]] = []
    for part in _SEPARATOR.split(inner):
        reference = _reference(part.strip(), ids)
        if not reference:
            return []
        out += reference
    return out


def _reference(part: str, ids: Container[str]) -> list[tuple[int | None, str | None]]:
    number = _NUMBER.fullmatch(part)
    if part in ids and not (number and part.isdecimal()):
        return [(None, part)]
    if number:
        first = int(number[1])
        last = int(number[2] or first)
        return [(n, None) for n in range(first, last + 1)] if 0 < first <= last < first + MAX_RANGE else []
    labelled = _LABELLED_ID.fullmatch(part)
    if labelled and labelled[1] in ids:
        return [(None, labelled[1])]
    return []


def _is_something_else(text: str, match: re.Match[str]) -> bool:
    """Return whether a match is array indexing (``x[1]``) or defines a footnote or link (``[^1]: …``)."""
    if match[1] is not None:
        return False
    after = text[match.end() : match.end() + 40]
    line_start = not text[text.rfind("\n", 0, match.start()) + 1 : match.start()].strip(" ")
    if line_start and (
        after.startswith(":") and (match[2].startswith("^") or re.match(r":\s*<?https?://", after))
    ):
        return True
    return _INDEXED_NAME.search(text[max(0, match.start() - 60) : match.start()]) is not None


def _code_spans(text: str) -> list[tuple[int, int]]:
    """Return the spans of fenced blocks and inline code (CommonMark) in order, in linear time."""
    if "`" not in text and "~~~" not in text:
        return []
    fences: list[tuple[int, int]] = []
    opened: re.Match[str] | None = None
    for fence in _FENCE.finditer(text):
        if opened is None:
            opened = fence
        elif fence[1].startswith(opened[1]):
            fences.append((opened.start(), fence.end()))
            opened = None
    if opened is not None:
        fences.append((opened.start(), len(text)))
    runs = [run for run in _TICKS.finditer(text) if not _in_code(fences, run.start())]
    following: dict[int, int] = {}  # length of a run -> index of the next run of that length
    closing = [-1] * len(runs)
    for index in range(len(runs) - 1, -1, -1):
        length = len(runs[index][0])
        closing[index] = following.get(length, -1)
        following[length] = index
    spans, index = list(fences), 0
    while index < len(runs):
        end = closing[index]
        if end >= 0 and "\n\n" not in text[runs[index].end() : runs[end].start()]:
            spans.append((runs[index].start(), runs[end].end()))
            index = end
        index += 1
    return sorted(spans)


def _in_code(spans: list[tuple[int, int]], at: int) -> bool:
    before = bisect_right(spans, at, key=itemgetter(0)) - 1
    return before >= 0 and at < spans[before][1]
