"""A retriever component that asks for more than the app wants, records all of it and gives the first k."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from haystack import component

from ragwheel import ConfigurationError, overfetch
from ragwheel.integration import Wrapping
from ragwheel_haystack.calls import embedded_text

__all__ = ["RecordedComponent", "wrap_retriever"]

_PLAIN: Final = frozenset(
    {"InMemoryBM25Retriever", "InMemoryEmbeddingRetriever", "FAISSEmbeddingRetriever"}
    | {"ChromaEmbeddingRetriever", "ChromaQueryTextRetriever", "QdrantEmbeddingRetriever"}
    | {"PgvectorEmbeddingRetriever", "PineconeEmbeddingRetriever"}
    | {"ElasticsearchBM25Retriever", "OpenSearchBM25Retriever"}
)
"""Haystack's retrievers that make a plain top-k search. Others are refused."""


@component
class RecordedComponent:
    """Made by :func:`wrap_retriever`, with the sockets of the app's ``retriever``; set that one's fields."""

    def __init__(self, retriever: Any, wrapping: Wrapping) -> None:
        self.retriever = retriever
        self._wrapping = wrapping
        for name, socket in retriever.__haystack_input__._sockets_dict.items():
            if socket.is_mandatory:
                component.set_input_type(self, name, socket.type)
            else:
                component.set_input_type(self, name, socket.type, socket.default_value)
        outputs = retriever.__haystack_output__._sockets_dict
        component.set_output_types(self, **{name: socket.type for name, socket in outputs.items()})

        @wrapping.overfetching("top_k")
        def search(query: object, top_k: int, *, inputs: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG001 - recorded
            return retriever.run(**{**inputs, "top_k": top_k})

        @wrapping.overfetching("top_k")
        async def asearch(query: object, top_k: int, *, inputs: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG001 - recorded
            return await retriever.run_async(**{**inputs, "top_k": top_k})

        self._search, self._asearch = search, asearch

    def warm_up(self) -> None:
        """Warm up the app's retriever."""
        warm_up = getattr(self.retriever, "warm_up", None)
        if callable(warm_up):
            warm_up()

    def run(self, **kwargs: Any) -> dict[str, Any]:
        """Return what the app's retriever returns."""
        query = _query(kwargs)
        k, refused = self._plan(kwargs)
        if refused is None:
            result: dict[str, Any] = self._search(query, k, inputs=kwargs)
            return result
        retrieval = self._wrapping.begin_refused(query, k, refused)
        try:
            result = self.retriever.run(**kwargs)
        except BaseException as error:
            retrieval.fail(error)
            raise
        retrieval.finish(result.get("documents"))
        return result

    async def run_async(self, **kwargs: Any) -> dict[str, Any]:
        """Return what the app's retriever returns."""
        if not hasattr(self.retriever, "run_async"):
            return await asyncio.to_thread(self.run, **kwargs)
        query = _query(kwargs)
        k, refused = self._plan(kwargs)
        if refused is None:
            result: dict[str, Any] = await self._asearch(query, k, inputs=kwargs)
            return result
        retrieval = self._wrapping.begin_refused(query, k, refused)
        try:
            result = await self.retriever.run_async(**kwargs)
        except BaseException as error:
            retrieval.fail(error)
            raise
        retrieval.finish(result.get("documents"))
        return result

    def _plan(self, inputs: dict[str, Any]) -> tuple[int, str | None]:
        return self._wrapping.planned(lambda: _plan_search(self.retriever, inputs, self._wrapping.capture_k))


def _query(inputs: dict[str, Any]) -> object:
    query = inputs.get("query")
    return query if query is not None else embedded_text(inputs.get("query_embedding"))


def _plan_search(retriever: Any, inputs: dict[str, Any], capture_k: int) -> tuple[int, str | None]:
    """Return the app's k, and why no more may be asked for (None: it may)."""
    cls = type(retriever)
    settings = dict(vars(retriever))
    if inputs.get("top_k") is not None:
        settings["top_k"] = inputs["top_k"]
    plan = overfetch.plan_object(settings, "top_k", capture_k)
    why = overfetch.refused_class(base.__name__ for base in cls.__mro__) or plan.refused
    if why is None and (cls.__name__ not in _PLAIN or not cls.__module__.startswith("haystack")):
        why = f"{cls.__name__} is not known to make a plain top-k search"
    return plan.k or 0, why


def wrap_retriever(
    retriever: Any,
    capture_k: int = 40,
    *,
    source: str | None = None,
    name: str | None = None,
    version: str | None = None,
    check_overfetch: int = overfetch.CHECKED_CALLS,
) -> RecordedComponent:
    """A component that gives the app what `retriever` gives and records `capture_k` documents of each search.

    Use it for a retriever that is called directly, or in a pipeline in place of `retriever`. Over-fetch is
    for plain top-k searches (in-memory BM25 and embedding retrievers, Chroma, Qdrant, pgvector, …); for all
    others what there is gets recorded, flagged with the reason.

    Args:
        retriever: a retriever component: it has ``run`` and gives ``documents``.
        capture_k: how many documents to ask for, at least 1. ``ragwheel.configure(capture_k=…)`` caps it.
        source: the index or data source; by default the component's class.
        name: of the retriever; by default its class.
        version: of the retriever, such as the index's date.
        check_overfetch: so many over-fetched calls (default 3) are preceded by the app's own search, whose
            documents the app gets; when the two differ, no more is asked for again. 0 checks none.

    Raises:
        ragwheel.ConfigurationError: `retriever` is no component that gives documents, or a number is out of
            range.
    """
    if isinstance(retriever, RecordedComponent):
        retriever = retriever.retriever
    outputs = getattr(getattr(retriever, "__haystack_output__", None), "_sockets_dict", {})
    if "documents" not in outputs:
        raise ConfigurationError(
            f"wrap_retriever: got a {type(retriever).__name__}; allowed is a Haystack component with the "
            "output documents, such as InMemoryBM25Retriever(document_store)"
        )
    label = name or type(retriever).__name__
    return RecordedComponent(retriever, Wrapping(source or label, label, version, capture_k, check_overfetch))
