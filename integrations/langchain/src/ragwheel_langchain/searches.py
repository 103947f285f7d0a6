"""Where a LangChain retriever has its k, and whether over-fetch is safe.

:mod:`ragwheel.overfetch` decides what is safe by names and values; this module has the facts about
LangChain's classes.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import Runnable
from langchain_core.vectorstores import VectorStoreRetriever

from ragwheel import overfetch

__all__ = ["Search", "plan_search"]

_K_NAMES = ("k", "top_k")
_PLAIN_STORES = frozenset(
    {
        "InMemoryVectorStore",
        "FAISS",
        "Chroma",
        "Qdrant",
        "QdrantVectorStore",
        "Pinecone",
        "PineconeVectorStore",
    }
    | {"PGVector", "PGVectorStore", "Milvus", "LanceDB", "SKLearnVectorStore", "DocArrayInMemorySearch"}
)
"""LangChain's stores whose similarity search is plain top-k. Others are refused."""
_PLAIN_OPTIONS = frozenset(
    {
        "k",
        "filter",
        "where",
        "where_document",
        "namespace",
        "expr",
        "partition_names",
        "fetch_k",
        "lambda_mult",
    }
    | {"score_threshold", "search_type", "query_type", "ef", "nprobe", "consistency"}
)
"""Options that select before the search, or that :mod:`ragwheel.overfetch` judges by value."""
_SYNC = ("invoke", "_get_relevant_documents", "similarity_search")
_ASYNC = ("ainvoke", "_aget_relevant_documents", "asimilarity_search")


@dataclass(frozen=True, slots=True)
class Search:
    """The plan of a search: with `parameter` set to `asked`, as a call option or as a field."""

    k: int | None = None
    asked: int | None = None
    refused: str | None = None
    parameter: str = "k"
    is_field: bool = False


def plan_search(
    retriever: BaseRetriever, query: str, options: dict[str, Any], capture_k: int, *, is_async: bool
) -> Search:
    """Plan ``retriever.invoke(query, **options)``, or ``ainvoke``."""
    invoke, search, similarity_search = _ASYNC if is_async else _SYNC
    cls = type(retriever)
    why = overfetch.refused_class(c.__name__ for c in cls.__mro__)
    if why is not None:
        return Search(refused=why)
    if getattr(cls, invoke) is not getattr(BaseRetriever, invoke):
        return Search(refused=f"{cls.__name__} has an {invoke} of its own")
    if isinstance(retriever, VectorStoreRetriever):
        if getattr(cls, search) is not getattr(VectorStoreRetriever, search):
            return Search(refused=f"{cls.__name__} has a search of its own")
        return _plan_vector_store(retriever, similarity_search, query, options, capture_k)
    fields = _fields(retriever)
    composed = next((name for name, value in fields.items() if _holds_runnable(value)), None)
    if composed is not None:
        return Search(refused=f"{cls.__name__} runs something else inside ({composed})")
    taken = options if retriever._expects_other_args else {}
    signature = _signature(cls._get_relevant_documents)
    for name in _K_NAMES:
        parameter = signature.parameters.get(name)
        if parameter is not None and (name in taken or isinstance(parameter.default, int)):
            called = overfetch.plan(
                signature,
                name,
                (retriever, query),
                {"run_manager": None, **taken},
                capture_k,
                settings=fields,
            )
            return Search(called.k, called.asked, called.refused, name)
    field = next((name for name in _K_NAMES if name in fields), None)
    if field in taken:
        return Search(refused=f"{field} is both a field and an option of the call")
    held = overfetch.plan_object({**fields, **taken}, field, capture_k)
    return Search(held.k, held.asked, held.refused, field or "k", is_field=True)


def _plan_vector_store(
    retriever: VectorStoreRetriever,
    similarity_search: str,
    query: str,
    options: dict[str, Any],
    capture_k: int,
) -> Search:
    """Plan the search of a vector store, whose k is in the call, in ``search_kwargs``, or the default."""
    store = retriever.vectorstore
    why = overfetch.refused_class(c.__name__ for c in type(store).__mro__)
    if why is not None:
        return Search(refused=why)
    method = getattr(type(store), similarity_search)
    settings = {name.lstrip("_"): value for name, value in vars(store).items()}
    called = overfetch.plan(
        _signature(method),
        "k",
        (store, query),
        retriever.search_kwargs | options,
        capture_k,
        settings={**settings, "search_type": retriever.search_type},
    )
    why = called.refused
    if called.asked is not None:
        why = _not_plain(type(store), retriever.search_kwargs | options)
    return Search(called.k, None if why else called.asked, why)


def _not_plain(cls: type, options: dict[str, Any]) -> str | None:
    """Return why this may not be a plain top-k search, whose larger results begin with the same chunks."""
    if not _is_plain_store(cls):
        return f"{cls.__name__} is not known to make plain top-k searches"
    for name, value in options.items():
        if value is not None and name not in _PLAIN_OPTIONS:
            return f"{name} may filter or re-order after the cut"
    return None


def _is_plain_store(cls: type) -> bool:
    """Whether the store's searches are those of a class that is known to make plain top-k searches."""
    base = next((c for c in cls.__mro__ if c.__name__ in _PLAIN_STORES and _is_langchains(c)), None)
    return base is not None and all(
        getattr(cls, name, None) is getattr(base, name, None)
        for name in dir(base)
        if "similarity_search" in name
    )


def _is_langchains(cls: type) -> bool:
    return cls.__module__.partition(".")[0].startswith("langchain")


@functools.lru_cache(maxsize=256)
def _signature(function: Any) -> inspect.Signature:
    return inspect.signature(function)


def _fields(retriever: BaseRetriever) -> dict[str, Any]:
    """The retriever's own settings, without the ones that every Runnable has."""
    shared = BaseRetriever.model_fields
    return {name: value for name, value in vars(retriever).items() if name not in shared}


def _holds_runnable(value: Any) -> bool:
    if isinstance(value, Runnable):
        return True
    inner: Iterable[Any] = ()
    if type(value) in (list, tuple):
        inner = value[:8]
    elif type(value) is dict:
        inner = list(value.values())[:8]
    return any(isinstance(item, Runnable) for item in inner)
