"""A re-ranker as a document compressor: the best of what a chain passes on, recorded."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from langchain_core.documents import BaseDocumentCompressor, Document

from ragwheel import ConfigurationError
from ragwheel_langchain import RerankingCompressor


def by_number(query: str, texts: list[str]) -> list[float]:
    return [float(text.split()[1]) for text in texts]


PAGES = [Document(id=str(n), page_content=f"page {n}", metadata={"n": n}) for n in range(6)]


def test_it_gives_the_best_documents_unchanged_and_records_both_orders(rows: Any) -> None:
    compressor = RerankingCompressor(by_number, k=2, version="features-1")
    assert isinstance(compressor, BaseDocumentCompressor)
    assert compressor.compress_documents(PAGES, "q") == [PAGES[5], PAGES[4]]
    assert asyncio.run(compressor.acompress_documents(tuple(PAGES), "q")) == [PAGES[5], PAGES[4]]
    assert (
        rows("SELECT kind, version, n_chunks, n_returned FROM retrievals")
        == [{"kind": "rerank", "version": "features-1", "n_chunks": 6, "n_returned": 2}] * 2
    )


def test_without_k_all_documents_are_given(rows: Any) -> None:
    assert RerankingCompressor(by_number).compress_documents(PAGES, "q") == PAGES[::-1]
    assert RerankingCompressor(by_number, k=9).compress_documents(PAGES, "q") == PAGES[::-1]
    assert RerankingCompressor(by_number).compress_documents([], "q") == []


@pytest.mark.parametrize(
    "broken",
    [
        lambda query, texts: 1 / 0,
        lambda query, texts: [1.0],
        lambda query, texts: [float("nan")] * len(texts),
    ],
    ids=["raises", "too few scores", "no numbers"],
)
def test_a_reranker_that_fails_leaves_the_retrievers_order(broken: Any, rows: Any) -> None:
    assert RerankingCompressor(broken, k=2).compress_documents(PAGES, "q") == PAGES[:2]
    flags = rows("SELECT flags FROM retrievals")[0]["flags"]
    assert flags.startswith('["rerank_failed: ')


@pytest.mark.parametrize(("reranker", "k"), [("model", 1), (None, 1), (by_number, 0), (by_number, -3)])
def test_what_cannot_work_is_refused_at_once(reranker: Any, k: int) -> None:
    with pytest.raises(ConfigurationError, match="allowed"):
        RerankingCompressor(reranker, k=k)
