"""Real retrievers over a small corpus, a database to read back from, and what an app's callbacks see."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.retrievers import BaseRetriever
from langchain_core.vectorstores import InMemoryVectorStore
from pydantic import Field

import ragwheel
from ragwheel.store import open_store
from ragwheel_langchain import uninstrument

Rows = Callable[[str], list[dict[str, Any]]]


@pytest.fixture(autouse=True)
def _no_handler_left_behind(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """LangChain swallows what a handler raises and logs it: such a log line fails the test."""
    caplog.set_level(logging.WARNING)
    yield
    uninstrument()
    assert [r.getMessage() for r in caplog.records if "callback" in r.getMessage()] == []


@pytest.fixture
def rows(tmp_path: Path) -> Rows:
    """A configured ragwheel; called with a query, the rows that are in the store by then."""
    db = tmp_path / "ragwheel.db"
    ragwheel.configure(db=str(db))

    def read(sql: str) -> list[dict[str, Any]]:
        assert ragwheel.flush()
        connection = open_store(db)
        try:
            cursor = connection.execute(sql)
            names = [column[0] for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor]
        finally:
            connection.close()

    return read


def corpus(n: int) -> list[Document]:
    return [Document(id=f"d{i}", page_content=f"page {i}", metadata={"part": i % 3}) for i in range(n)]


class Scored(InMemoryVectorStore):
    """With the one method that score thresholds need."""

    def _select_relevance_score_fn(self) -> Callable[[float], float]:
        return lambda cosine: (cosine + 1) / 2


@pytest.fixture
def store_class() -> type[Scored]:
    return Scored


@pytest.fixture
def vector_store() -> Scored:
    """Sixty pages."""
    store = Scored(DeterministicFakeEmbedding(size=12))
    store.add_documents(corpus(60))
    return store


class Shelf(BaseRetriever):
    """Like BM25Retriever: gives the very documents it holds, the `k` that match best; counts its searches."""

    docs: list[Document]
    k: int = 4
    searches: int = 0
    asked: list[int] = Field(default_factory=list)

    def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
        self.searches += 1
        self.asked.append(self.k)
        ranked = sorted(self.docs, key=lambda d: (sum(map(ord, query + d.page_content)) % 17, d.page_content))
        return ranked[: self.k]


@pytest.fixture
def shelf() -> Shelf:
    """Sixty pages."""
    return Shelf(docs=corpus(60))


class Watcher(BaseCallbackHandler):
    """An app's own handler: what it is told, without ids and times."""

    def __init__(self) -> None:
        self.events: list[tuple[Any, ...]] = []

    def on_retriever_start(self, serialized: Any, query: str, **kwargs: Any) -> None:
        top = kwargs["parent_run_id"] is None
        told = (kwargs.get("name"), sorted(kwargs["tags"]), dict(kwargs["metadata"]), top)
        self.events.append(("retriever start", serialized, query, *told))

    def on_retriever_end(self, documents: Any, **kwargs: Any) -> None:
        self.events.append(("retriever end", type(documents), [d.page_content for d in documents]))

    def on_retriever_error(self, error: BaseException, **kwargs: Any) -> None:
        self.events.append(("retriever error", error))

    def on_chain_start(self, serialized: Any, inputs: Any, **kwargs: Any) -> None:
        self.events.append(
            ("chain start", kwargs.get("name"), sorted(kwargs["tags"]), dict(kwargs["metadata"]))
        )

    def on_chain_end(self, outputs: Any, **kwargs: Any) -> None:
        self.events.append(("chain end",))


@pytest.fixture
def watcher() -> type[Watcher]:
    return Watcher


@pytest.fixture
def shelf_class() -> type[Shelf]:
    return Shelf


@pytest.fixture
def pages() -> Callable[[int], list[Document]]:
    return corpus
