"""The field names by which retrieval clients call the parts of a chunk, and who uses each.

Names are compared without case, blanks and punctuation: ``chunkText``, ``chunk_text`` and ``CHUNK-TEXT``
are one name, and so are ``$dist``, ``_dist`` and ``dist``. The first name of a table that a record has
wins.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final, Literal

__all__ = [
    "BODIES", "HOLDERS", "NEVER_HOLDERS", "POSITIONS", "VECTORS", "WRAPPERS", "Part", "normal", "part_names",
    "ranked_names",
]  # fmt: skip

Part = Literal["id", "address", "text", "score"]

_IDS: Final = (
    "id",  # most; `_id` of MongoDB, OpenSearch, Pinecone records; `id_` of LlamaIndex
    "chunkid",  # Azure AI Search, Bedrock, R2R
    "xamzbedrockkbchunkid",  # Bedrock, in the metadata
    "docid",  # Pyserini, Lucene
    "nodeid",  # LlamaIndex
    "uuid",  # Weaviate, PostgreSQL
    "pk",  # Milvus, Django
    "objectid",  # Algolia, MongoDB
    "pointid",  # Qdrant
    "passageid", "segmentid", "recordid", "itemid", "entryid", "vectorid", "paragraphid",
    "docno",  # TREC
    "corpusid",  # sentence-transformers' semantic_search
    "ulid", "guid", "rowid", "chunkkey", "dockey",
    "elementid",  # Neo4j
)  # fmt: skip
_ADDRESSES: Final = ("url", "link", "uri", "href", "permalink", "displayurl", "sourceurl", "source")
_TEXTS: Final = (
    "pagecontent",  # LangChain
    "text",  # LlamaIndex, R2R, OpenAI, Vectara
    "content",  # Haystack, Azure, Tavily, Dify
    "document",  # Chroma, Cohere, Voyage AI
    "chunk",  # Azure AI Search, R2R
    "chunktext",  # Pinecone
    "chunkcontent", "chunkbody", "passage", "passagetext", "pagetext", "documenttext", "documentcontent",
    "body",  # Vespa, OpenSearch
    "textresource",  # LlamaIndex's Document
    "bodytext", "bodytxt", "rawtext", "fulltext", "plaintext", "textcontent", "contents",  # Anserini
    "txt", "paragraph", "sentence", "segment", "excerpt", "snippet",  # search services
    "context",  # CrewAI, DSPy
    "longtext",  # DSPy's ColBERT
    "markdown", "caption", "description", "abstract", "summary",
)  # fmt: skip
_SCORES: Final = (
    "score",  # most; `_score` of OpenSearch and Pinecone, `@search.score` of Azure below
    "relevancescore",  # Cohere, Jina, Voyage AI, LanceDB hybrid
    "similarityscore", "similarity",
    "distance",  # Chroma, Weaviate, Milvus, `_distance` of LanceDB
    "rerankscore", "rerankerscore", "searchrerankerscore", "searchscore",  # Azure AI Search
    "rankingscore",  # Meilisearch
    "textmatch",  # Typesense
    "dist",  # turbopuffer's `$dist`
    "relevance",  # Vespa
    "cosinedistance", "cosinesimilarity", "cosine", "sim", "l2distance", "vectordistance",
    "vectorscore",  # Redis
    "certainty",  # Weaviate
    "confidence", "confidencescore", "probability", "prob", "bm25", "bm25score", "tsrank", "hybridscore",
    "fusedscore", "rrfscore", "finalscore", "combinedscore", "matchscore", "tfidf", "logit", "rank",
)  # fmt: skip
_SURE_LENGTH: Final = {"text": 12, "id": 8, "score": 12}

WRAPPERS: Final = (
    "node",  # LlamaIndex, Neo4j
    "document",  # Typesense, LangChain hits, Jina
    "chunk",  # Google, R2R
    "segment",  # Dify
    "doc", "item", "record", "hit", "point", "object", "passage", "result", "row", "match",
)  # fmt: skip
"""Fields that may hold the chunk itself, in a record that adds a score or a position to it."""

BODIES: Final = (
    "source",  # OpenSearch's `_source`
    "payload",  # Qdrant
    "properties",  # Weaviate
    "additional",  # Weaviate's GraphQL: id and distance
    "entity",  # Milvus
    "fields",  # Vespa, Pinecone records, OpenSearch
    "metadata", "meta", "cmetadata", "documentmetadata", "extrainfo", "structdata", "attributes", "data",
)  # fmt: skip
"""Fields that hold further fields of the chunk: its text, its own metadata."""

POSITIONS: Final = frozenset({"index", "corpusid", "position", "idx", "documentindex", "originalindex"})
"""Fields that say where in the list that a re-ranker was given a chunk stood."""

HOLDERS: Final = (
    "documents", "chunks", "results", "nodes", "sourcenodes", "matches", "hits", "points", "objects",
    "records",  # Neo4j, Dify
    "docs",  # Redis, Solr
    "rows",  # turbopuffer
    "items", "data",  # OpenAI
    "groups",  # Qdrant
    "contexts", "context", "retrieveddocs", "retrieveddocuments", "retrievedchunks", "retrievedcontexts",
    "sourcedocuments", "sources", "passages", "retrievalresults",  # Bedrock
    "resultitems",  # Kendra
    "searchresults", "scoredchunks", "organic", "organicresults", "children",  # Vespa
    "artifact", "output", "result", "response", "value", "answer", "content", "texts",
)  # fmt: skip
"""Fields of a response that hold its ranked list, the likeliest first."""

NEVER_HOLDERS: Final = frozenset(
    [
        "messages",
        "chathistory",
        "history",
        "conversation",
        "usage",
        "facets",
        "facetcounts",
        "aggregations",
        "aggs",
        "suggestions",
        "suggest",
        "choices",
        "errors",
        "warnings",
        "error",
        "warning",
        "peoplealsoask",
        "relatedsearches",
        "relatedquestions",
        "relatedsearchesresults",
        "images",
        "imageresults",
        "videos",
        "news",
        "topstories",
        "ads",
        "knowledgegraph",
        "followupquestions",
        "embeddings",
        "embedding",
        "vectors",
        "vector",
        "queryvector",
        "highlights",
        "highlight",
        "highlighting",
        "citations",
        "toolcalls",
        "logs",
        "timings",
        "tags",
        "labels",
        "keywords",
        "categories",
        "fieldmapping",
        "metadatas",
        "shards",
        "query",
        "input",
        "prompt",
        "request",
        "params",
        "responseheader",
        "searchmetadata",
        "searchparameters",
        "spelling",
        "intents",
    ]
)
"""Fields whose lists are about something else than what was retrieved."""

VECTORS: Final = frozenset(
    [
        "embedding",
        "embeddings",
        "vector",
        "vectors",
        "sparseembedding",
        "sparsevector",
        "densevector",
        "contentvector",
        "textvector",
        "embeddingvector",
    ]
)

_TABLES: Final[dict[Part, tuple[str, ...]]] = {
    "id": _IDS, "address": _ADDRESSES, "text": _TEXTS, "score": _SCORES,
}  # fmt: skip
_LOOKS_LIKE: Final[dict[str, re.Pattern[str]]] = {
    "id": re.compile(r"(?<!page)(?<!user)(?<!line)(id|key|uuid|guid|pk|ref|identifier)$"),
    "text": re.compile(r"(text|txt|content|contents|body|passage|snippet|excerpt|paragraph|markdown)$"),
    "score": re.compile(r"(score|distance|similarity|relevance|dist|certainty|sim)s?$"),
}
_FOREIGN_ID: Final = re.compile(
    r"(document|doc|parent|file|source|user|author|owner|page|session|tenant|group|collection|dataset|kb|org|account"
    r"|thread|category|image|job|run|trace|request|query|model|index|namespace|knowledgebase|datasource|project|space"
    r"|website|site|partition|foreign|api|access|sort|cache)(s?id|ids|key|uuid|guid|pk)$"
)
_NO_LETTERS: Final = re.compile(r"[\W_]+")


@lru_cache(maxsize=4096)
def normal(name: str) -> str:
    """Return `name` without case, blanks and punctuation."""
    return _NO_LETTERS.sub("", name).lower()


@lru_cache(maxsize=1024)
def part_names(names: tuple[str, ...], part: Part) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return those of `names` that call a part of a chunk: by the table, likeliest first; by their ending."""
    by_normal: dict[str, list[str]] = {}
    for name in names:
        by_normal.setdefault(normal(name), []).append(name)
    listed = tuple(name for word in _TABLES[part] for name in by_normal.get(word, ()))
    pattern = _LOOKS_LIKE.get(part)
    if pattern is None:
        return listed, ()
    similar = [
        name
        for word, same in by_normal.items()
        if word not in _TABLES[part]
        and pattern.search(word)
        and not (part == "id" and _FOREIGN_ID.search(word))
        for name in same
    ]
    return listed, tuple(similar)


def ranked_names(names: Iterable[str]) -> list[str]:
    """Return those of `names` that are known to hold ranked lists, in the order of :data:`HOLDERS`."""
    by_normal = {normal(name): name for name in reversed(list(names))}
    return [by_normal[word] for word in HOLDERS if word in by_normal]
