"""LangChain held to the contract of integrations."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnablePassthrough
from langchain_core.vectorstores import InMemoryVectorStore

import ragwheel_langchain
from ragwheel.testing import CORPUS, ContractChunk, IntegrationContract


class HookedEmbedding(DeterministicFakeEmbedding):
    """Embeds queries; raises, or calls a function, in the middle of a search."""

    error: Any = None
    during: Any = None

    def embed_query(self, text: str) -> list[float]:
        if self.during is not None:
            self.during()
        if self.error is not None:
            raise self.error
        return super().embed_query(text)


class FirstTwo(BaseRetriever):
    """Runs another retriever and gives the first two of its documents."""

    inner: Any

    def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
        documents: list[Document] = self.inner.invoke(query, {"callbacks": run_manager.get_child()})
        return documents[:2]


def rag(retriever: Any, answer: str) -> Any:
    """A chain that retrieves, prompts a model that always gives ``answer``, and reads the text."""
    prompt = ChatPromptTemplate.from_template("Answer from these pages:\n{pages}\n\nQuestion: {question}")
    pages = retriever | (lambda documents: "\n".join(document.page_content for document in documents))
    model = GenericFakeChatModel(messages=(AIMessage(answer) for _ in itertools.count()))
    return {"pages": pages, "question": RunnablePassthrough()} | prompt | model | StrOutputParser()


class Recorder(BaseCallbackHandler):
    """An app's own callback handler."""

    def __init__(self) -> None:
        self.events: list[Any] = []

    def on_retriever_start(self, serialized: Any, query: str, **kwargs: Any) -> None:
        self.events.append(("start", query, kwargs.get("name"), kwargs["parent_run_id"] is None))

    def on_retriever_end(self, documents: Any, **kwargs: Any) -> None:
        self.events.append(("end", [document.page_content for document in documents]))


class TestLangChain(IntegrationContract):
    framework = "LangChain"
    has_scores = False

    def setup_method(self, method: Any = None) -> None:
        self.callbacks: list[Any] = []
        super().setup_method(method)

    def instrument(self) -> None:
        ragwheel_langchain.instrument()

    def uninstrument(self) -> None:
        ragwheel_langchain.uninstrument()

    def retriever(self, k: int = 4, *, error: Any = None, during: Any = None) -> Any:
        store = InMemoryVectorStore(HookedEmbedding(size=12, error=error, during=during))
        store.add_documents(
            [Document(id=c.id, page_content=c.text, metadata=dict(c.metadata)) for c in CORPUS]
        )
        return store.as_retriever(search_kwargs={"k": k})

    def search(self, retriever: Any, query: str) -> list[Document]:
        return retriever.invoke(query, {"callbacks": self.callbacks})

    async def asearch(self, retriever: Any, query: str) -> list[Document]:
        return await retriever.ainvoke(query)

    def read(self, chunk: Any) -> ContractChunk:
        return ContractChunk(chunk.id, chunk.page_content, chunk.metadata)

    def nested(self, retriever: Any) -> Any:
        return FirstTwo(inner=retriever)

    def reranked(self, retriever: Any) -> Any:
        def reversing(query: str, texts: list[str]) -> list[float]:
            return [float(n) for n in range(len(texts))]

        return ragwheel_langchain.RerankedRetriever(retriever, reversing, fetch_k=4, k=4).invoke

    def engine(self, retriever: Any, answer: str) -> Any:
        return rag(retriever, answer).invoke

    def streaming_engine(self, retriever: Any, answer: str) -> Any:
        return rag(retriever, answer).stream

    def overfetching(self, retriever: Any, capture_k: int) -> Any:
        return ragwheel_langchain.wrap_retriever(retriever, capture_k)

    @contextmanager
    def traced(self) -> Iterator[list[Any]]:
        recorder = Recorder()
        self.callbacks = [recorder]
        yield recorder.events
        self.callbacks = []
