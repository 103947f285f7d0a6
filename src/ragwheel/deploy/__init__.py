"""Deployment of trained models in the app. Adapters need numpy and safetensors, but no torch.

::

    from ragwheel.deploy import Adapter, Reranked, adapted

    embed_query = adapted(embed_query, Adapter.load("adapter"))   # documents stay as they are indexed
    embed_query = QueryEncoder("model")                           # the same, by ragwheel train embedder
    search = Reranked(search, reranker, fetch_k=40, k=5)

For LangChain there are ``ragwheel_langchain.AdaptedEmbeddings`` and ``ragwheel_langchain.RerankedRetriever``.
:func:`ragwheel.interleave` compares an old and a new retriever by real clicks.
"""

from __future__ import annotations

from ragwheel.deploy.adapter import Adapter, Router
from ragwheel.deploy.embedding import adapted, stamp
from ragwheel.deploy.fusing import FusedSearch, Fusion, fuse_results, fusion_of
from ragwheel.deploy.query_side import load_query_model, query_embedder
from ragwheel.deploy.questions import QueryEncoder
from ragwheel.deploy.reranking import Reranked, Scorer, checked_scorer, recorded_best, rerank

__all__ = [
    "Adapter",
    "FusedSearch",
    "Fusion",
    "QueryEncoder",
    "Reranked",
    "Router",
    "Scorer",
    "adapted",
    "checked_scorer",
    "fuse_results",
    "fusion_of",
    "load_query_model",
    "query_embedder",
    "recorded_best",
    "rerank",
    "stamp",
]
