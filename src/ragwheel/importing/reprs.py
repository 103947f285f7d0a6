"""Parsing documents of LangChain, LlamaIndex and Haystack that a tool recorded as ``str()`` or ``repr()``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from ragwheel.importing.records import RetrievedPassage
from ragwheel.importing.values import number, parse_loosely

__all__ = ["document_of_repr"]

_QUOTED: Final = r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\""
_LANGCHAIN: Final = re.compile(
    r"^(?:Document\()?(?:id='(?P<id>[^']*)',? ?)?(?:metadata=(?P<before>\{.*?\}),? ?)?"
    r"page_content=(?P<text>'.*'|\".*\")"
    r"(?:,? ?metadata=(?P<after>\{.*\}))?\)?$",
    re.DOTALL,
)
_LLAMAINDEX: Final = re.compile(
    r"^Node ID: (?P<id>\S+)\s*\nText: (?P<text>.*?)(?:\nScore: +(?P<score>[-\d.eE]+|None)\s*)?$", re.DOTALL
)
_NODE: Final = re.compile(
    rf"^<?NodeWithScore\(node=\w*Node\(id_=(?P<id>{_QUOTED}|[^,)]+)(?P<rest>.*)\), "
    r"score=(?P<score>[-\d.eE]+|None)\)>?$",
    re.DOTALL,
)
_NODE_TEXT: Final = re.compile(rf", text=(?P<text>{_QUOTED})", re.DOTALL)
_HAYSTACK: Final = re.compile(
    r"^Document\(id=(?P<id>[^,]+), (?:mimetype: '[^']*', )?content: (?P<text>'.*?'|\".*?\")"
    r"(?:, meta: (?P<meta>\{.*?\}))?(?:, score: (?P<score>[-\d.eE]+))?"
    r"(?:, (?:embedding|sparse_embedding): .*)?\)$",
    re.DOTALL,
)


def document_of_repr(text: str) -> RetrievedPassage | None:
    """Return the document of which a text is the ``str()`` or ``repr()``; None if it is neither."""
    text = text.strip()
    if text.startswith("Node ID: "):
        match = _LLAMAINDEX.match(text)
        if match:
            return RetrievedPassage(match["id"], match["text"], number(match["score"]))
    if text.startswith(("<NodeWithScore(", "NodeWithScore(")):
        match = _NODE.match(text)
        if match:
            body = _NODE_TEXT.search(match["rest"])
            return RetrievedPassage(
                match["id"].strip("'\""), _unquoted(body["text"]) if body else None, number(match["score"])
            )
    if text.startswith("Document(id=") and ", content: " in text[:2000]:
        match = _HAYSTACK.match(text)
        if match:
            shortened = match["text"][-4:-1] == "..."
            body_text = match["text"][1:-1]
            return RetrievedPassage(
                match["id"],
                None if shortened else body_text,
                number(match["score"]),
                _mapping(match["meta"]),
            )
    if "page_content=" in text[:2000]:
        return _of_langchain(text)
    return None


def _of_langchain(text: str) -> RetrievedPassage | None:
    match = _LANGCHAIN.match(text)
    if not match:
        return None
    metadata = _mapping(match["after"] or match["before"])
    app_id = match["id"]
    if app_id is None and metadata is not None:
        ids = (metadata.get(key) for key in ("id", "doc_id", "chunk_id"))
        app_id = next((app_id for app_id in ids if isinstance(app_id, str)), None)
    return RetrievedPassage(app_id, _unquoted(match["text"]), None, metadata)


def _unquoted(literal: str) -> str:
    """Return the text of a Python literal; of a broken literal, the text between its quotes."""
    value = parse_loosely(literal)
    return value if isinstance(value, str) and value != literal else literal[1:-1]


def _mapping(literal: str | None) -> dict[str, Any] | None:
    value = parse_loosely(literal)
    return {str(k): v for k, v in value.items()} if isinstance(value, Mapping) and value else None
