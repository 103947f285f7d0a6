"""A retriever that asks for more than the app wants, records all of it and hands on the first k.

The span in the app's traces is that of the app's own retriever: ``retrieve`` of a shallow copy whose search,
and nothing else, is ours. Where more cannot be asked for without changing the result, what there is gets
recorded, flagged with the reason.
"""

from __future__ import annotations

import copy
from typing import Any, Final

from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.instrumentation.dispatcher import DISPATCHER_SPAN_DECORATED_ATTR
from llama_index.core.retrievers import VectorIndexRetriever
from llama_index.core.schema import NodeWithScore, QueryType

from ragwheel import ConfigurationError, overfetch
from ragwheel.integration import Wrapping
from ragwheel_llamaindex.instrumentation import RECORDED

__all__ = ["RecordedRetriever", "wrap_retriever"]

_K: Final = "_similarity_top_k"
_PLAIN_STORES: Final = frozenset(
    {"SimpleVectorStore", "ChromaVectorStore", "FaissVectorStore", "QdrantVectorStore", "PineconeVectorStore"}
    | {"PGVectorStore", "MilvusVectorStore", "LanceDBVectorStore", "DuckDBVectorStore"}
)
"""LlamaIndex's stores whose default mode is a plain top-k search. Others are refused."""
_PLAIN_MODES: Final = frozenset({"default", "sparse", "text_search"})
_PLAIN_OPTIONS: Final = frozenset({"where", "namespace", "ef", "nprobe"})


class RecordedRetriever(BaseRetriever):
    """Made by :func:`wrap_retriever`. The app's retriever is ``retriever``; change its settings there."""

    def __init__(self, retriever: BaseRetriever, wrapping: Wrapping) -> None:
        self.retriever = retriever
        self._wrapping = wrapping

        @wrapping.overfetching("k")
        def search(query: Any, k: int, *, searches: Searches) -> list[NodeWithScore]:
            return list(searches.next("_retrieve", k)(query))

        @wrapping.overfetching("k")
        async def asearch(query: Any, k: int, *, searches: Searches) -> list[NodeWithScore]:
            return list(await searches.next("_aretrieve", k)(query))

        self._search, self._asearch = search, asearch
        super().__init__(callback_manager=getattr(retriever, "callback_manager", None))

    def __getattr__(self, name: str) -> Any:
        """Look up in the app's retriever what the wrapper has not."""
        if name.startswith("__") or name == "retriever":
            raise AttributeError(name)
        return getattr(self.retriever, name)

    def retrieve(self, str_or_query_bundle: QueryType) -> list[NodeWithScore]:
        """Return what the app's retriever returns."""
        k, refused = self._plan()
        twin = _twin(self.retriever)
        if refused is None:
            searches = Searches(self.retriever)
            twin._retrieve = lambda query_bundle: self._search(query_bundle, k, searches=searches)
            nodes: list[NodeWithScore] = twin.retrieve(str_or_query_bundle)
            return nodes
        retrieval = self._wrapping.begin_refused(str_or_query_bundle, k, refused)
        try:
            nodes = twin.retrieve(str_or_query_bundle)
        except BaseException as error:
            retrieval.fail(error)
            raise
        retrieval.finish(nodes)
        return nodes

    async def aretrieve(self, str_or_query_bundle: QueryType) -> list[NodeWithScore]:
        """Return what the app's retriever returns."""
        k, refused = self._plan()
        twin = _twin(self.retriever)
        if refused is None:
            searches = Searches(self.retriever)
            twin._aretrieve = lambda query_bundle: self._asearch(query_bundle, k, searches=searches)
            nodes: list[NodeWithScore] = await twin.aretrieve(str_or_query_bundle)
            return nodes
        retrieval = self._wrapping.begin_refused(str_or_query_bundle, k, refused)
        try:
            nodes = await twin.aretrieve(str_or_query_bundle)
        except BaseException as error:
            retrieval.fail(error)
            raise
        retrieval.finish(nodes)
        return nodes

    for _method in (retrieve, aretrieve):  # no span of its own: the app's retriever has one
        setattr(_method, DISPATCHER_SPAN_DECORATED_ATTR, True)
    del _method

    def _retrieve(self, query_bundle: Any) -> list[NodeWithScore]:
        nodes: list[NodeWithScore] = self.retriever._retrieve(query_bundle)
        return nodes

    def _plan(self) -> tuple[int, str | None]:
        return self._wrapping.planned(lambda: plan_search(self.retriever, self._wrapping.capture_k))


def plan_search(retriever: BaseRetriever, capture_k: int) -> tuple[int, str | None]:
    """Return the app's k, and why no more may be asked for (None: it may)."""
    cls = type(retriever)
    settings = {name.lstrip("_"): value for name, value in vars(retriever).items()}
    plan = overfetch.plan_object(settings, "similarity_top_k", capture_k)
    k = plan.k or 0
    why = overfetch.refused_class(base.__name__ for base in cls.__mro__) or plan.refused
    if why is None and settings.get("object_map"):
        why = "it looks up objects behind the nodes"
    if why is None and isinstance(retriever, VectorIndexRetriever):
        why = _not_plain(retriever, settings)
    elif why is None and cls.__name__ != "BM25Retriever":
        why = f"{cls.__name__} is not known to make a plain top-k search"
    return k, why


def _not_plain(retriever: VectorIndexRetriever, settings: dict[str, Any]) -> str | None:
    cls = type(retriever)
    if any(name in vars(base) for name in ("_retrieve", "_aretrieve") for base in cls.__mro__
           if base is not VectorIndexRetriever and issubclass(base, VectorIndexRetriever)):  # fmt: skip
        return f"{cls.__name__} has a search of its own"
    mode = getattr(settings.get("vector_store_query_mode"), "value", settings.get("vector_store_query_mode"))
    if mode not in _PLAIN_MODES:
        return f"vector_store_query_mode={mode} is not known to be a plain top-k search"
    store = type(settings.get("vector_store"))
    if store.__name__ not in _PLAIN_STORES or not store.__module__.startswith("llama_index."):
        return f"{store.__name__} is not known to make plain top-k searches"
    for name in settings.get("kwargs") or {}:
        if name not in _PLAIN_OPTIONS:
            return f"{name} may filter or re-order after the cut"
    return None


def _twin(retriever: BaseRetriever) -> Any:
    """A shallow copy that the span handler leaves to the wrapper."""
    twin = copy.copy(retriever)
    vars(twin)[RECORDED] = True
    return twin


class Searches:
    """The searches of one call: the first has the span that the app's own has, a check after it has none."""

    def __init__(self, retriever: BaseRetriever) -> None:
        self._retriever = retriever
        self._is_first = True

    def next(self, method: str, k: int) -> Any:
        """Return the method of the app's retriever; asked for another k, that of a shallow copy."""
        retriever: Any = self._retriever
        if vars(retriever).get(_K) != k:
            retriever = _twin(retriever)
            vars(retriever)[_K] = k
        bound = getattr(retriever, method)
        is_first, self._is_first = self._is_first, False
        return bound if is_first else getattr(bound, "__wrapped__", bound)


def wrap_retriever(
    retriever: BaseRetriever,
    capture_k: int = 40,
    *,
    source: str | None = None,
    name: str | None = None,
    version: str | None = None,
    check_overfetch: int = overfetch.CHECKED_CALLS,
) -> RecordedRetriever:
    """A retriever that gives the app what `retriever` gives and records `capture_k` nodes of each search.

    Over-fetch is for plain top-k searches: a ``VectorIndexRetriever`` in its default mode over a store known
    to make them, or ``BM25Retriever``. For all others (fusion, recursion, MMR, hybrid search, …) what there
    is gets recorded, flagged with the reason.

    Args:
        retriever: any LlamaIndex retriever.
        capture_k: how many nodes to ask for, at least 1. ``ragwheel.configure(capture_k=…)`` caps it.
        source: the index or data source; by default the retriever's class.
        name: of the retriever; by default its class.
        version: of the retriever, such as the index's date.
        check_overfetch: so many over-fetched calls (default 3) are preceded by the app's own search, whose
            nodes the app gets; when the two differ, no more is asked for again. 0 checks none.

    Raises:
        ragwheel.ConfigurationError: `retriever` is no LlamaIndex retriever, or a number is out of range.
    """
    if isinstance(retriever, RecordedRetriever):
        retriever = retriever.retriever
    if not isinstance(retriever, BaseRetriever):
        raise ConfigurationError(
            f"wrap_retriever: got a {type(retriever).__name__}; allowed is a LlamaIndex BaseRetriever, "
            "such as index.as_retriever()"
        )
    label = name or type(retriever).__name__
    return RecordedRetriever(retriever, Wrapping(source or label, label, version, capture_k, check_overfetch))
