"""Reading ranked passages from a retriever's recorded result, in the formats of many frameworks.

These are lists of documents (LangChain, LlamaIndex, Haystack, plain dictionaries), results of vector
databases (Chroma's columns, Pinecone's matches, OpenSearch's hits), pairs of a document and a score, lists of
texts, and the ``str()`` of documents (:mod:`ragwheel.importing.reprs`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from ragwheel.importing.records import RetrievedPassage
from ragwheel.importing.reprs import document_of_repr
from ragwheel.importing.values import number, parse_loosely

__all__ = ["complete", "passages"]

TEXT_KEYS: Final = (
    "page_content",
    "content",
    "text",
    "document",
    "body",
    "chunk",
    "passage",
    "chunk_text",
    "page_text",
    "document.content",
    "snippet",
    "contents",
    "pageContent",
    "chunkText",
)
ID_KEYS: Final = (
    "id",
    "_id",
    "id_",
    "document.id",
    "doc_id",
    "chunk_id",
    "document_id",
    "node_id",
    "docid",
    "passage_id",
    "uuid",
    "point_id",
    "object_id",
    "ids",
    "chunkId",
    "docId",
    "documentId",
    "nodeId",
)
SCORE_KEYS: Final = (
    "score",
    "_score",
    "document.score",
    "relevance_score",
    "similarity_score",
    "similarity",
    "distance",
    "_distance",
    "_relevance_score",
    "relevanceScore",
    "similarityScore",
    "@search.rerankerScore",
    "@search.score",
)
LIST_KEYS: Final = (
    "documents",
    "docs",
    "source_documents",
    "source_nodes",
    "sourceDocuments",
    "sourceNodes",
    "retrievedDocuments",
    "retrievalResults",
    "searchResults",
    "nodes",
    "retrieved_documents",
    "retrieved_contexts",
    "contexts",
    "context",
    "chunks",
    "passages",
    "matches",
    "hits",
    "results",
    "result",
    "items",
    "points",
    "output",
    "outputs",
    "return_value",
    "value",
    "data",
    "retrieved_docs",
    "search_results",
    "response",
    "records",
    "inputs",
    "input",
)
MAX_DEPTH: Final = 6
_WRAPPERS: Final = (
    "node",
    "document",
    "kwargs",
    "_source",
    "payload",
    "point",
    "properties",
    "entity",
    "fields",
)
_TALK: Final = frozenset({
    "text", "output_text", "input_text", "thinking", "reasoning", "message", "tool_use", "tool_result", "ai",
    "human", "system", "user", "assistant", "tool", "function", "aimessage", "aimessagechunk", "humanmessage",
    "systemmessage", "toolmessage", "generation", "generationchunk", "chatgeneration", "chatgenerationchunk",
})  # fmt: skip
"""Types of messages and their parts, which have a text as documents do but are not documents."""
_NO_METADATA: Final = frozenset({*TEXT_KEYS, *ID_KEYS, *SCORE_KEYS, "type", "role", "rank", "index", "lc"})


def passages(value: Any, *, texts: bool = False, depth: int = MAX_DEPTH) -> list[RetrievedPassage] | None:
    """Return the passages in a value in order; None if it holds none.

    Args:
        value: a list, a mapping that holds one, or JSON or a Python repr of either.
        texts: whether plain texts and bare ids count as passages. Set this only for the result of a
            retriever, since a list of texts may be anything elsewhere.
        depth: the largest number of wrappers to open.
    """
    value = parse_loosely(value)
    if depth <= 0:
        return None
    if isinstance(value, Mapping):
        return _in_mapping(value, texts, depth)
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return _in_list(list(value), texts, depth)
    return None


def _in_mapping(value: Mapping[Any, Any], texts: bool, depth: int) -> list[RetrievedPassage] | None:
    columns = _columns(value)
    if columns is not None:
        return columns
    for key in LIST_KEYS:
        inner = value.get(key)
        if isinstance(inner, (list, tuple, Mapping, str)) and inner:
            result = passages(inner, texts=texts, depth=depth - 1)
            if result:
                return result
    for key in LIST_KEYS:
        if isinstance(value.get(key), list) and not value[key] and texts:
            return []
    return None


def _in_list(value: list[Any], texts: bool, depth: int) -> list[RetrievedPassage] | None:
    if not value:
        return [] if texts else None
    items = [parse_loosely(item) for item in value]
    if len(items) == 1 and isinstance(items[0], list) and _passage(items[0], texts) is None:
        return passages(items[0], texts=texts, depth=depth - 1)
    result = [_passage(item, texts) for item in items]
    read = [passage for passage in result if passage is not None]
    if len(read) == len(items):
        return read
    if not read and len(items) == 1 and isinstance(items[0], Mapping):
        return passages(items[0], texts=texts, depth=depth - 1)
    return read if texts and len(read) > len(items) / 2 else None


def _columns(value: Mapping[Any, Any]) -> list[RetrievedPassage] | None:
    """Read Chroma's result: columns of ids, documents, distances and metadata, often one list per query."""
    ids, documents = value.get("ids"), value.get("documents")
    if not isinstance(ids, list) or not (isinstance(documents, list) or documents is None):
        return None
    table = [ids, documents, value.get("distances"), value.get("metadatas")]
    table = [c[0] if isinstance(c, list) and len(c) == 1 and isinstance(c[0], list) else c for c in table]
    length = len(table[0] or ())

    def cell(column: int, row: int) -> Any:
        values = table[column]
        return values[row] if isinstance(values, list) and row < len(values) else None

    return [
        RetrievedPassage(
            _id(cell(0, row)), _text(cell(1, row)), number(cell(2, row)), _metadata(cell(3, row))
        )
        for row in range(length)
    ]


def _passage(item: Any, texts: bool) -> RetrievedPassage | None:
    if isinstance(item, str):
        return document_of_repr(item) or (RetrievedPassage(text=item) if texts and item.strip() else None)
    if isinstance(item, (list, tuple)) and len(item) == 2 and number(item[1]) is not None:
        inner = _passage(parse_loosely(item[0]), texts)
        return (
            None if inner is None else RetrievedPassage(inner.id, inner.text, number(item[1]), inner.metadata)
        )
    if isinstance(item, int) and not isinstance(item, bool) and texts:
        return RetrievedPassage(id=str(item))
    return _from_mapping(item, texts) if isinstance(item, Mapping) else None


def _from_mapping(item: Mapping[Any, Any], texts: bool) -> RetrievedPassage | None:
    if not texts and str(item.get("type")).lower() in _TALK:
        return None
    for wrapper in _WRAPPERS:
        inner = item.get(wrapper)
        if isinstance(inner, str) and inner[:1] == "{":
            inner = parse_loosely(inner)
        if isinstance(inner, Mapping):
            read = _from_mapping(inner, texts)
            if read is not None:
                score = number(_value(item, SCORE_KEYS))
                return RetrievedPassage(
                    read.id or _id(_value(item, ID_KEYS)),
                    read.text,
                    read.score if score is None else score,
                    read.metadata,
                )
    metadata = _metadata(_value(item, ("metadata", "meta", "document.metadata", "extra_info")))
    metadata = metadata or _prefixed(item, "document.metadata.") or _prefixed(item, "metadata.")
    text = _text(_value(item, TEXT_KEYS))
    if text is None and metadata is not None:
        text = _text(_value(metadata, (*TEXT_KEYS[:3], "_node_content")))
    app_id = _id(_value(item, ID_KEYS))
    if app_id is None and metadata is not None:
        app_id = _id(_value(metadata, ID_KEYS))
    if text is None and (app_id is None or not texts):
        return None
    metadata = metadata or _beside(item)
    if "role" in item and (app_id is None or not texts):
        return None  # a chat message, not a document
    return RetrievedPassage(app_id, text, number(_value(item, SCORE_KEYS)), metadata)


def _beside(item: Mapping[Any, Any]) -> dict[str, Any] | None:
    """Return the plain fields of a document without metadata of its own, such as a row of a table."""
    rest = {
        str(key): value
        for key, value in item.items()
        if key not in _NO_METADATA and isinstance(value, (str, int, float)) and value != ""
    }
    return rest or None


def _value(item: Mapping[Any, Any], names: Sequence[str]) -> Any:
    for name in names:
        value = item.get(name)
        if value is not None and value != "":
            return value
    return None


def _prefixed(item: Mapping[Any, Any], prefix: str) -> dict[str, Any] | None:
    rest = {k[len(prefix) :]: v for k, v in item.items() if isinstance(k, str) and k.startswith(prefix)}
    return rest or None


def _text(value: Any) -> str | None:
    if isinstance(value, Mapping):
        return _text(_value(value, TEXT_KEYS))
    return value if isinstance(value, str) and value.strip() else None


def _id(value: Any) -> str | None:
    if isinstance(value, bool) or value is None or isinstance(value, (list, dict)):
        return None
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else None
    return str(value) or None


def _metadata(value: Any) -> dict[str, Any] | None:
    value = parse_loosely(value)
    return {str(k): v for k, v in value.items()} if isinstance(value, Mapping) and value else None


def complete(
    main: list[RetrievedPassage] | None, other: list[RetrievedPassage] | None
) -> list[RetrievedPassage] | None:
    """Return the first list, with missing fields taken from the second if both rank the same passages.

    A tool often records the same result twice: texts in one attribute, ids in another.
    """
    if not main or not other:
        return main or other
    if len(main) != len(other):
        short, long = sorted((main, other), key=len)
        return long if _begins(long, short) or not any(p.text for p in main) else main
    for passage, twin in zip(main, other):
        if not _same_text(passage.text, twin.text):
            return main
    return [
        RetrievedPassage(
            p.id if p.id is not None else q.id,
            q.text if p.text is None or (q.text is not None and len(q.text) > len(p.text)) else p.text,
            p.score if p.score is not None else q.score,
            p.metadata or q.metadata,
        )
        for p, q in zip(main, other)
    ]


def _begins(long: list[RetrievedPassage], short: list[RetrievedPassage]) -> bool:
    """Return whether the shorter list is a part of the longer one, as after a limit dropped attributes."""
    texts = [passage.text for passage in long]
    return all(passage.text is None or passage.text in texts for passage in short)


def _same_text(text: str | None, other: str | None) -> bool:
    """Return whether two texts are equal, one is missing, or one is only truncated or wrapped otherwise."""
    if text is None or other is None or text == other:
        return True
    head, longer = sorted(("".join(text.split()), "".join(other.split())), key=len)
    return longer.startswith(head.removesuffix("...").removesuffix("…"))
