"""Haystack held to the contract of integrations."""

import asyncio
import contextlib
import queue
import threading
from collections.abc import Iterator
from typing import Any

from haystack import Document, Pipeline, component, tracing
from haystack.components.builders import PromptBuilder
from haystack.components.retrievers.in_memory import InMemoryBM25Retriever
from haystack.tracing import Span, Tracer
from integrations.haystack.tests.parts import FixedGenerator, Reversing, piped, store

import ragwheel_haystack
from ragwheel.testing import ContractChunk, IntegrationContract


@component
class FirstTwo:
    """A retriever that runs a pipeline with another one."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    @component.output_types(documents=list[Document])
    def run(self, query: str) -> dict[str, Any]:
        """Give the first two documents."""
        return {"documents": self.inner.run({"retriever": {"query": query}})["retriever"]["documents"][:2]}


def rag(answer: str) -> Pipeline:
    """Return a pipeline that retrieves, makes a prompt, and answers ``answer``."""
    pipeline = Pipeline()
    pipeline.add_component("retriever", InMemoryBM25Retriever(store(), top_k=4))
    template = "{% for page in pages %}{{ page.content }}{% endfor %} {{ question }}"
    pipeline.add_component("prompt", PromptBuilder(template))
    pipeline.add_component("model", FixedGenerator(answer))
    pipeline.connect("retriever.documents", "prompt.pages")
    pipeline.connect("prompt.prompt", "model.prompt")
    return pipeline


class RecordedSpan(Span):
    def __init__(self, events: list[Any]) -> None:
        self.events = events

    def set_tag(self, key: str, value: Any) -> None:
        if key != "haystack.component.visits":
            self.events.append((key, type(value).__name__))


class RecordingTracer(Tracer):
    """An app's own tracer."""

    def __init__(self) -> None:
        self.events: list[Any] = []

    @contextlib.contextmanager
    def trace(self, operation_name: str, tags: Any = None, parent_span: Any = None) -> Iterator[Span]:
        self.events.append((operation_name, (tags or {}).get("haystack.component.name"), type(parent_span)))
        yield RecordedSpan(self.events)

    def current_span(self) -> Any:
        return None


class TestHaystack(IntegrationContract):
    framework = "Haystack"
    searches_are_turns = True  # a run of a pipeline

    def instrument(self) -> None:
        ragwheel_haystack.instrument()

    def uninstrument(self) -> None:
        ragwheel_haystack.uninstrument()

    def retriever(self, k: int = 4, *, error: Any = None, during: Any = None) -> Any:
        return piped(InMemoryBM25Retriever(store(error, during), top_k=k))

    def search(self, retriever: Any, query: str) -> Any:
        return retriever.run({"retriever": {"query": query}})["retriever"]["documents"]

    async def asearch(self, retriever: Any, query: str) -> Any:
        run_async = getattr(retriever, "run_async", None)
        if run_async is None:  # before pipelines could
            return await asyncio.to_thread(self.search, retriever, query)
        return (await run_async({"retriever": {"query": query}}))["retriever"]["documents"]

    def read(self, chunk: Any) -> ContractChunk:
        return ContractChunk(chunk.id, chunk.content, chunk.meta, chunk.score)

    def nested(self, retriever: Any) -> Any:
        return piped(FirstTwo(retriever))

    def reranked(self, retriever: Any) -> Any:
        pipeline = Pipeline()
        pipeline.add_component("retriever", InMemoryBM25Retriever(store(), top_k=4))
        pipeline.add_component("ranker", Reversing())
        pipeline.connect("retriever.documents", "ranker.documents")

        def search(query: str) -> Any:
            inputs = {"retriever": {"query": query}, "ranker": {"query": query}}
            return pipeline.run(inputs)["ranker"]["documents"]

        return search

    def engine(self, retriever: Any, answer: str) -> Any:
        pipeline = rag(answer)

        def ask(question: str) -> str:
            inputs = {"retriever": {"query": question}, "prompt": {"question": question}}
            return str(pipeline.run(inputs)["model"]["replies"][0])

        return ask

    def streaming_engine(self, retriever: Any, answer: str) -> Any:
        pipeline = rag(answer)

        def ask(question: str) -> Iterator[str]:
            pieces: queue.SimpleQueue[str | None] = queue.SimpleQueue()
            inputs = {
                "retriever": {"query": question},
                "prompt": {"question": question},
                "model": {"streaming_callback": lambda chunk: pieces.put(chunk.content)},
            }

            def run() -> None:
                pipeline.run(inputs)
                pieces.put(None)

            running = threading.Thread(target=run)
            running.start()
            yield from iter(pieces.get, None)
            running.join()

        return ask

    def overfetching(self, retriever: Any, capture_k: int) -> Any:
        own = retriever.get_component("retriever")
        again = InMemoryBM25Retriever(own.document_store, top_k=own.top_k)
        return piped(ragwheel_haystack.wrap_retriever(again, capture_k))

    @contextlib.contextmanager
    def traced(self) -> Iterator[list[Any]]:
        proxy = tracing.tracer
        instrumented = isinstance(proxy.actual_tracer, ragwheel_haystack.tracing.CaptureTracer)
        recorder = RecordingTracer()
        if instrumented:
            ragwheel_haystack.uninstrument()
        before = proxy.actual_tracer
        tracing.enable_tracing(recorder)
        if instrumented:
            ragwheel_haystack.instrument()
        yield recorder.events
        ragwheel_haystack.uninstrument()
        proxy.actual_tracer = before
        if instrumented:
            ragwheel_haystack.instrument()


def test_without_a_tracer_of_the_apps_none_is_left_behind() -> None:
    ragwheel_haystack.instrument()
    ragwheel_haystack.uninstrument()
    assert not tracing.is_tracing_enabled()
