"""LlamaIndex held to the contract of integrations."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from integrations.llamaindex.tests.parts import FixedModel, handbook
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.bridge.pydantic import Field
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.query_engine import RetrieverQueryEngine

import ragwheel_llamaindex
from ragwheel.testing import ContractChunk, IntegrationContract


class FirstTwo(BaseRetriever):
    """Runs another retriever and gives the first two of its nodes."""

    def __init__(self, inner: Any) -> None:
        super().__init__()
        self.inner = inner

    def _retrieve(self, query_bundle: Any) -> Any:
        return self.inner.retrieve(query_bundle)[:2]


class Reversing(BaseNodePostprocessor):
    def _postprocess_nodes(self, nodes: Any, query_bundle: Any = None) -> Any:
        return nodes[::-1]


class Recorder(BaseEventHandler):
    """An app's own event handler."""

    events: list[Any] = Field(default_factory=list)

    @classmethod
    def class_name(cls) -> str:
        return "Recorder"

    def handle(self, event: Any, **kwargs: Any) -> None:
        nodes = getattr(event, "nodes", None)
        span = (event.span_id or "").partition("-")[0]
        self.events.append((event.class_name(), span, None if nodes is None else [n.node_id for n in nodes]))


class TestLlamaIndex(IntegrationContract):
    framework = "LlamaIndex"

    def instrument(self) -> None:
        ragwheel_llamaindex.instrument()

    def uninstrument(self) -> None:
        ragwheel_llamaindex.uninstrument()

    def retriever(self, k: int = 4, *, error: Any = None, during: Any = None) -> Any:
        return handbook(error, during).as_retriever(similarity_top_k=k)

    def search(self, retriever: Any, query: str) -> Any:
        return retriever.retrieve(query)

    async def asearch(self, retriever: Any, query: str) -> Any:
        return await retriever.aretrieve(query)

    def read(self, chunk: Any) -> ContractChunk:
        return ContractChunk(chunk.node.node_id, chunk.node.text, chunk.node.metadata, chunk.score)

    def nested(self, retriever: Any) -> Any:
        return FirstTwo(retriever)

    def reranked(self, retriever: Any) -> Any:
        engine = RetrieverQueryEngine.from_args(
            retriever, llm=FixedModel(text="-"), node_postprocessors=[Reversing()]
        )
        return lambda query: engine.query(query).source_nodes

    def engine(self, retriever: Any, answer: str) -> Any:
        engine = RetrieverQueryEngine.from_args(retriever, llm=FixedModel(text=answer))
        return lambda query: str(engine.query(query))

    def streaming_engine(self, retriever: Any, answer: str) -> Any:
        engine = RetrieverQueryEngine.from_args(retriever, llm=FixedModel(text=answer), streaming=True)
        return lambda query: engine.query(query).response_gen

    def overfetching(self, retriever: Any, capture_k: int) -> Any:
        return ragwheel_llamaindex.wrap_retriever(retriever, capture_k)

    @contextmanager
    def traced(self) -> Iterator[list[Any]]:
        recorder = Recorder(events=[])
        handlers = get_dispatcher().event_handlers
        handlers.append(recorder)
        yield recorder.events
        handlers.remove(recorder)
