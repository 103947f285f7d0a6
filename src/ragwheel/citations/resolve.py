"""Resolving the citations of an answer to retrieved chunks.

Citations are taken from the first of these that applies:

1. the app's argument ``citations=``: exactly these, and nothing is parsed (an empty list: none);
2. the provider's own references in the message, and the markers in the text outside of them;
3. the markers in the text.

An entry of ``citations=`` is a str: an id, else an address in the chunks' metadata; an int: an id
if any int of the list is one, else a 1-based position; an object that a retriever returned: by
identity, else by its id; a provider's citation object or a whole message of one; a dict with ``id``
(and optionally ``start``, ``end``, ``quote``).

A provider's reference is matched by id or address first, then by its 0-based document index. Several
chunks may share an address, and a list of chunks may have been sent as the blocks of one document:
the chunk that contains the quote is meant. A citation that stays ambiguous or unknown is kept
unmatched (``retrieval`` None) and flagged ``unmatched_citation``; it is never guessed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any

from ragwheel.citations import providers
from ragwheel.citations.markers import markers
from ragwheel.citations.providers import Reference
from ragwheel.guard import guard
from ragwheel.host import safe
from ragwheel.host.columns import identity, row
from ragwheel.host.items import plain_id

__all__ = ["CitableChunk", "Citation", "Extracted", "extract"]

MAX_CITATIONS = 1000
ADDRESSES = (
    "url",
    "source",
    "link",
    "uri",
    "source_url",
    "document_url",
    "file_id",
    "filename",
    "document_id",
    "title",
)


@dataclass(frozen=True, slots=True)
class CitableChunk:
    """A chunk that the model may have seen.

    Its position in the list, counted from 1, is what ``[n]`` means.
    """

    retrieval: str
    rank: int
    source: str
    chunk: str
    item: object


@dataclass(frozen=True, slots=True)
class Citation:
    """One reference of an answer to a chunk; ``retrieval`` is None if it matches no candidate.

    ``start`` / ``end`` are character offsets in the answer, of the marker or of the span that a provider
    says is supported; ``text`` is the provider's quote of the source. ``method``: marker, ids,
    anthropic, openai, cohere, langchain.
    """

    marker: str
    retrieval: str | None
    rank: int | None
    source: str | None
    chunk: str | None
    start: int | None
    end: int | None
    text: str | None
    method: str


@dataclass(frozen=True, slots=True)
class Extracted:
    """An answer's text, its citations in order, and flags for what could not be recorded unchanged."""

    text: str
    citations: tuple[Citation, ...]
    flags: tuple[str, ...]


def extract(
    answer: object, citations: object, candidates: Sequence[CitableChunk], numbered: int | None = None
) -> Extracted:
    """Return text and citations of ``answer``: text, a message, a response or a dict of one. Never raises.

    ``[n]`` means one of the first ``numbered`` candidates (None: of all).
    """
    read = providers.ParsedAnswer()
    try:
        read = providers.read(answer)
        retrieved = _Known(candidates, numbered)
        flags = dict.fromkeys(read.flags)
        resolved = _found(read, citations, retrieved, flags)
        kept = tuple(islice(resolved, MAX_CITATIONS + 1))
        if len(kept) > MAX_CITATIONS:
            kept, flags = kept[:MAX_CITATIONS], {**flags, "items": None}
        if any(citation.retrieval is None for citation in kept):
            flags["unmatched_citation"] = None
        return Extracted(read.text, kept, tuple(flags))
    except Exception as exc:  # a value of the host's that found a way to raise
        guard.caught("citations.extract", exc)
        return Extracted(read.text, (), (*read.flags, "broken_answer"))


def _found(
    read: providers.ParsedAnswer, citations: object, retrieved: _Known, flags: dict[str, None]
) -> Iterator[Citation]:
    if citations is not None:
        yield from _explicit_citations(citations, retrieved, flags)
        return
    for ref in read.references:
        yield retrieved.referred(ref)
    spans = [(ref.start, ref.end) for ref in read.references if ref.start is not None and ref.end is not None]
    for marker in markers(read.text, retrieved.by_id):
        if any(start <= marker.start and marker.end <= end for start, end in spans):
            continue
        position = marker.position
        candidate = (
            retrieved.at(position) if position is not None else retrieved.by_id.get(marker.app_id or "")
        )
        yield _citation("marker", candidate, marker.text, marker.start, marker.end)


class _Known:
    """The candidates by position, id, identity and address; the expensive tables are made on first use."""

    def __init__(self, candidates: Sequence[CitableChunk], numbered: int | None) -> None:
        self.candidates = list(candidates)
        self.numbered = len(self.candidates) if numbered is None else numbered
        self.by_id: dict[str, CitableChunk] = {}
        for candidate in self.candidates:
            self.by_id.setdefault(candidate.chunk, candidate)

    @cached_property
    def by_identity(self) -> dict[str, CitableChunk]:
        """Candidates by the object's own id, which differs from the recorded id if texts are redacted."""
        by_identity = {identity(candidate.item): candidate for candidate in reversed(self.candidates)}
        return {app_id: candidate for app_id, candidate in by_identity.items() if app_id is not None}

    def same(self, app_id: str) -> CitableChunk | None:
        """Return the candidate that is recorded under an id, or whose object has it."""
        return self.by_id.get(app_id) or self.by_identity.get(app_id)

    def at(self, position: int) -> CitableChunk | None:
        return self.candidates[position - 1] if 0 < position <= self.numbered else None

    @cached_property
    def by_object(self) -> dict[int, CitableChunk]:
        return {
            id(candidate.item): candidate
            for candidate in reversed(self.candidates)
            if candidate.item is not None
        }

    @cached_property
    def texts(self) -> list[str]:
        """The candidates' texts with normalised white space."""
        flags: dict[str, None] = {}
        return [_squeezed(safe.text(row(candidate.item, flags).text)[0]) for candidate in self.candidates]

    @cached_property
    def by_address(self) -> dict[str, list[int]]:
        out: dict[str, list[int]] = {}
        flags: dict[str, None] = {}
        for index, candidate in enumerate(self.candidates):
            metadata = row(candidate.item, flags).metadata
            values = (
                (providers.get(metadata, name) for name in ADDRESSES)
                if issubclass(type(metadata), dict)
                else ()
            )
            for value in values:
                if issubclass(type(value), str):
                    out.setdefault(_address(value), []).append(index)
        return out

    def named(self, key: str, quote: str | None = None) -> CitableChunk | None:
        """Return the candidate with this id, or the only one with this address, or with it and the quote."""
        if key in self.by_id:
            return self.by_id[key]
        places = sorted(set(self.by_address.get(_address(key), ())))
        if len(places) > 1 and quote:
            places = self.quoting(quote, places)
        return self.candidates[places[0]] if len(places) == 1 else None

    def quoting(self, quote: str, places: Iterable[int]) -> list[int]:
        wanted = _squeezed(quote)
        return [index for index in places if wanted and wanted in self.texts[index]]

    def referred(self, ref: Reference) -> Citation:
        candidate = next((c for key in ref.keys if (c := self.named(key, ref.quote))), None)
        if candidate is None and ref.index is not None:
            candidate = self.at(ref.index + 1)
            if ref.quote:
                holders = self.quoting(ref.quote, range(len(self.candidates)))
                if len(holders) == 1 or (holders and candidate is None):
                    candidate = self.candidates[holders[0]] if ref.index not in holders else candidate
        return _citation(ref.method, candidate, ref.marker, ref.start, ref.end, ref.quote)


def _explicit_citations(citations: object, retrieved: _Known, flags: dict[str, None]) -> Iterator[Citation]:
    entries = _entries(citations, flags)
    ints = [entry for entry in entries if type(entry) is int and entry.bit_length() < 64]
    as_id = any(str(entry) in retrieved.by_id for entry in ints)
    for entry in entries:
        kind = type(entry)
        candidate = retrieved.by_object.get(id(entry))
        if issubclass(kind, str):
            key = safe.text(entry, 1000)[0]
            chunk = retrieved.named(key) or candidate or retrieved.same(identity(entry) or "")
            yield _citation("ids", chunk, key)
        elif kind is int:
            key = str(entry) if entry.bit_length() < 64 else ""
            yield _citation("ids", retrieved.by_id.get(key) if as_id else retrieved.at(entry), key)
        elif candidate is not None:
            yield _citation("ids", candidate, candidate.chunk)
        elif refs := (
            providers.read(entry).references if providers.is_message(entry) else providers.reference(entry)
        ):
            yield from map(retrieved.referred, refs)
        else:
            yield _object(entry, retrieved)


def _object(entry: object, retrieved: _Known) -> Citation:
    """Resolve a chunk by its id, with the span and quote that a dict may add."""
    keys = (plain_id(entry), identity(entry))
    app_id = next((key for key in keys if key is not None and retrieved.same(key) is not None), "")
    candidate = retrieved.same(app_id)
    start, end, quote = (providers.get(entry, name) for name in ("start", "end", "quote"))
    spanned = type(start) is int and type(end) is int and 0 <= start <= end
    quoted = safe.text(quote, 10_000)[0] if issubclass(type(quote), str) else None
    return _citation("ids", candidate, app_id, start if spanned else None, end if spanned else None, quoted)


def _entries(citations: Any, flags: dict[str, None]) -> list[Any]:
    """Return the entries of a list, tuple, set or dict view; a single entry becomes a list of one."""
    kind = type(citations)
    readers: tuple[tuple[type, Callable[[Any], Iterator[Any]]], ...] = (
        (list, list.__iter__),
        (tuple, tuple.__iter__),
        (set, set.__iter__),
        (frozenset, frozenset.__iter__),
    )
    for base, read in readers:
        if issubclass(kind, base):
            return list(islice(read(citations), MAX_CITATIONS + 1))
    if issubclass(kind, Mapping) or issubclass(kind, (str, int)) or not hasattr(kind, "__next__"):
        return [citations]
    flags["citations_not_read"] = None  # an iterator is the app's to consume
    return []


def _citation(
    method: str,
    candidate: CitableChunk | None,
    marker: str,
    start: int | None = None,
    end: int | None = None,
    quote: str | None = None,
) -> Citation:
    if candidate is None:
        return Citation(marker, None, None, None, None, start, end, quote, method)
    key = (candidate.retrieval, candidate.rank, candidate.source, candidate.chunk)
    return Citation(marker, *key, start, end, quote, method)


def _squeezed(text: str) -> str:
    return " ".join(text.split())


def _address(value: str) -> str:
    """Return an address without its scheme, fragment and trailing slash."""
    text = safe.text(value, 2000)[0].split("#", 1)[0].rstrip("/")
    return text.removeprefix("https://").removeprefix("http://").removeprefix("www.")
