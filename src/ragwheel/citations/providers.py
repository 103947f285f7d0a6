"""Reading answers in the formats of LLM providers: the text, and the provider's own citations.

Duck-typed over dicts and SDK objects; no SDK is imported. The shapes are those of

* Anthropic, "Citations" and "Search results": text blocks with ``citations`` of the types
  ``char_location``, ``page_location``, ``content_block_location`` (0-based ``document_index``),
  ``search_result_location`` (0-based ``search_result_index``, ``source``), ``web_search_result_location``;
* OpenAI, "Chat completions" (``message.annotations`` with a nested ``url_citation``) and "Responses"
  (``output[].content[].annotations``: ``url_citation``, ``file_citation``, ``container_file_citation``);
* Cohere, "RAG citations": v2 ``message.citations[].sources[]``, v1 ``citations[].document_ids``; ids that
  the app did not give are ``doc:0`` (v2) or ``doc_0`` (v1), counted from 0;
* LangChain, "Standard content blocks": ``AIMessage.content`` as str or blocks whose ``annotations``
  hold the provider's own or ``{"type": "citation"}``, and ``citations`` in ``additional_kwargs`` or
  ``response_metadata`` (langchain-cohere).

Offsets count characters of the whole answer: block offsets are shifted by the text before the block.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ragwheel.guard import let_interrupts_through
from ragwheel.host import safe

__all__ = ["ParsedAnswer", "Reference", "is_message", "read", "reference"]

MAX_BLOCKS = 10_000
_AUTOMATIC_ID = re.compile(r"doc[:_-](\d{1,4})")
_ANTHROPIC = ("char_location", "page_location", "content_block_location", "search_result_location")


@dataclass(frozen=True, slots=True)
class Reference:
    """A provider's reference to one source: its place in the answer, and an index, ids or addresses."""

    method: str
    start: int | None = None
    end: int | None = None
    marker: str = ""
    quote: str | None = None
    index: int | None = None  # 0-based, in the documents that the model was given
    keys: tuple[str, ...] = ()  # ids, file ids, URLs, titles: the most specific first


@dataclass(slots=True)
class ParsedAnswer:
    """The text of an answer, and the references that its provider gave."""

    text: str = ""
    references: list[Reference] = field(default_factory=list)
    flags: tuple[str, ...] = ()


def get(value: object, name: str) -> Any:
    """Return a dict's value or an object's attribute; None if it is missing or cannot be read."""
    try:
        if issubclass(type(value), dict):
            return dict.get(value, name)  # type: ignore[call-overload]
        return getattr(value, name, None)
    except Exception as exc:  # the host's own property
        let_interrupts_through(exc)
        return None


def read(answer: object) -> ParsedAnswer:
    """Return the text and references of a str, a message, a response, or a dict of one of these."""
    kind = type(answer)
    if answer is None or issubclass(kind, (str, bytes, bytearray)):
        text, flags = safe.text(answer)
        return ParsedAnswer(text, [], flags)
    message = _message(answer)
    out = _Collected()
    for part in _parts(message):
        out.block(part)
    if not out.seen:
        return ParsedAnswer("", [], ("not_text",))
    for held in _message_citations(message, answer):
        out.references += _each(held, out.bases)
    text, flags = safe.text("".join(out.texts))
    references = [_marked(ref, text) for ref in out.references[:MAX_BLOCKS]]
    return ParsedAnswer(text, references, tuple(dict.fromkeys((*out.flags, *flags))))


def is_message(value: object) -> bool:
    """Return whether a value looks like an answer with content, rather than like a citation."""
    return any(
        _list(get(value, name)) or _list(get(get(value, "message"), name))
        for name in ("content", "output", "choices")
    )


@dataclass(slots=True)
class _Collected:
    """The blocks that were read so far; ``bases[i]`` is the offset of block i in the whole text."""

    texts: list[str] = field(default_factory=list)
    bases: list[int] = field(default_factory=list)
    references: list[Reference] = field(default_factory=list)
    flags: list[str] = field(default_factory=list)
    length: int = 0
    seen: bool = False

    def block(self, part: object) -> None:
        raw = part if issubclass(type(part), str) else get(part, "text")
        if issubclass(type(get(raw, "value")), str):  # OpenAI Assistants: {"text": {"value", "annotations"}}
            part, raw = raw, get(raw, "value")
        self.bases.append(self.length)
        if not issubclass(type(raw), str):
            return
        text, flags = safe.text(raw)
        self.seen = True
        self.flags += flags
        self.texts.append(text)
        span = (self.length, self.length + len(text))
        for name in ("citations", "annotations"):
            for held in _list(get(part, name)):
                self.references += reference(held, self.length, span)
        self.length += len(text)


def _message(answer: object) -> object:
    """Return ``choices[0].message`` (OpenAI), ``message`` (Cohere) or ``messages[-1]`` (LangGraph)."""
    if messages := _list(get(answer, "messages")):
        return messages[-1]
    choices = _list(get(answer, "choices"))
    if choices:
        return get(choices[0], "message")
    inner = get(answer, "message")
    if inner is not None and not issubclass(type(inner), str) and not callable(inner):
        return inner
    return answer


def _parts(message: object) -> Iterator[object]:
    """Yield the blocks of a message that may hold text, each with its own annotations."""
    for item in _list(get(message, "output")):  # OpenAI Responses
        yield from _list(get(item, "content"))
    content = get(message, "content")
    if issubclass(type(content), str):
        yield content
    elif _list(content):
        yield from _list(content)
    elif not _list(get(message, "output")):
        # Cohere v1 `text`, LangChain chains `answer`, LlamaIndex `response`
        names = (
            name
            for name in ("text", "answer", "output_text", "response", "output")
            if _is_text(get(message, name))
        )
        yield from (get(message, name) for name in list(names)[:1])


def _message_citations(message: object, answer: object) -> Iterator[list[Any]]:
    """Yield the lists of citations beside the content; langchain-cohere repeats one list in two places."""
    if _is_text(get(message, "content")) or _is_text(get(message, "text")):
        yield _list(get(message, "annotations"))
    for holder in (message, get(message, "additional_kwargs"), get(message, "response_metadata"), answer):
        held = _list(get(holder, "citations"))
        if held:
            yield held
            return


def _each(held: list[Any], bases: list[int]) -> Iterator[Reference]:
    for citation in held:
        block = get(citation, "content_index")
        base = bases[block] if type(block) is int and 0 <= block < len(bases) else 0
        yield from reference(citation, base)


def reference(held: object, base: int = 0, span: tuple[int, int] | None = None) -> list[Reference]:
    """Yield the references of a provider's object; ``span`` is the text that a block's citations support."""
    kind = get(held, "type")
    kind = kind if issubclass(type(kind), str) else ""
    if kind == "non_standard_annotation":
        return reference(get(held, "value"), base, span)
    if kind in _ANTHROPIC or kind == "web_search_result_location":
        return [_anthropic(held, span)]
    if kind in ("url_citation", "file_citation", "container_file_citation"):
        return [_openai(held, kind, base)]
    if kind == "citation":
        return [_langchain(held, base, span)]
    if _list(get(held, "sources")) or _list(get(held, "document_ids")) or _list(get(held, "documentIds")):
        return list(_cohere(held, base))
    return []


def _anthropic(held: object, span: tuple[int, int] | None) -> Reference:
    position = _int(get(held, "document_index"))
    start, end = span or (None, None)
    return Reference(
        "anthropic",
        start,
        end,
        quote=_str(get(held, "cited_text")),
        index=_int(get(held, "search_result_index")) if position is None else position,
        keys=_keys(held, "source", "url", "document_title", "title", "file_id"),
    )


def _openai(held: object, kind: str, base: int) -> Reference:
    inner = get(held, kind)
    part = held if inner is None else inner
    offsets = part if get(part, "start_index") is not None else held
    return Reference(
        "openai",
        *_offsets(offsets, "start_index", "end_index", base),
        marker=_str(get(held, "text")) or "",
        quote=_str(get(part, "quote")),
        keys=_keys(part, "url", "file_id", "filename", "title"),
    )


def _langchain(held: object, base: int, span: tuple[int, int] | None) -> Reference:
    extras = get(held, "extras")
    start, end = _offsets(held, "start_index", "end_index", base)
    if start is None and span is not None:
        start, end = span
    indexes = (_int(get(extras, name)) for name in ("document_index", "search_result_index"))
    return Reference(
        "langchain",
        start,
        end,
        quote=_str(get(held, "cited_text")),
        index=next((i for i in indexes if i is not None), None),
        keys=_keys(held, "url") + _keys(extras, "source", "file_id", "document_id") + _keys(held, "title"),
    )


def _cohere(held: object, base: int) -> Iterator[Reference]:
    start, end = _offsets(held, "start", "end", base)
    named = _list(get(held, "document_ids")) or _list(get(held, "documentIds"))
    sources: list[Any] = [{"id": name} for name in named] or _list(get(held, "sources"))
    for source in sources[:100]:
        document = get(source, "document")
        keys = _keys(document, "id") + _keys(source, "id") + _keys(document, "url")
        automatic = next((m for m in map(_AUTOMATIC_ID.fullmatch, keys) if m), None)
        yield Reference("cohere", start, end, index=int(automatic[1]) if automatic else None, keys=keys)


def _marked(ref: Reference, text: str) -> Reference:
    """Return the reference with a marker: the provider's own, else the cited span (up to 200 characters)."""
    if ref.start is None or ref.end is None or not ref.start <= ref.end <= len(text):
        start = end = None
    else:
        start, end = ref.start, ref.end
    marker = ref.marker or (text[start:end] if start is not None else "") or next(iter(ref.keys), "")
    return Reference(ref.method, start, end, marker[:200], ref.quote, ref.index, ref.keys)


def _offsets(held: object, first: str, last: str, base: int) -> tuple[int | None, int | None]:
    start, end = _int(get(held, first)), _int(get(held, last))
    return (None, None) if start is None or end is None else (base + start, base + end)


def _keys(held: object, *names: str) -> tuple[str, ...]:
    texts = (_str(get(held, name)) for name in names)
    return tuple(key for key in texts if key)


def _list(value: Any) -> list[Any]:
    """Return a list or tuple, cut to a limit; an empty list for anything else (an iterator, a mock)."""
    if issubclass(type(value), list):
        return list.__getitem__(value, slice(MAX_BLOCKS))
    return list(tuple.__getitem__(value, slice(MAX_BLOCKS))) if issubclass(type(value), tuple) else []


def _is_text(value: object) -> bool:
    return issubclass(type(value), str)


def _str(value: object) -> str | None:
    if type(value) is int:
        value = str(value) if value.bit_length() < 64 else None
    return safe.text(value, 10_000)[0] if _is_text(value) else None


def _int(value: object) -> int | None:
    return value if type(value) is int and 0 <= value < 2**31 else None
