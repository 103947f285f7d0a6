"""DSPy held to the contract of integrations."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, ClassVar

import dspy
from dspy.utils import DummyLM
from dspy.utils.callback import BaseCallback
from integrations.dspy.tests.parts import RAG, FirstTwo, RetrievalModel, embeddings

import ragwheel_dspy
from ragwheel.testing import ContractChunk, IntegrationContract


class Recorder(BaseCallback):
    """An app's own callback."""

    def __init__(self) -> None:
        self.events: list[Any] = []

    def on_module_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
        self.events.append(("start", type(instance).__name__, repr(inputs)))

    def on_module_end(self, call_id: str, outputs: Any, exception: Any = None) -> None:
        self.events.append(("end", repr(outputs), repr(exception)))


class Bound:
    """``dspy.Retrieve`` with a retrieval model of its own."""

    def __init__(self, retrieve: Any, model: Any) -> None:
        self.retrieve, self.model = retrieve, model

    def __call__(self, query: str) -> Any:
        with dspy.context(rm=self.model):
            return self.retrieve(query)


class TestDSPy(IntegrationContract):
    framework = "DSPy"
    has_ids = has_scores = has_metadata = False
    wrapped_is_traced = False  # dspy.retrievers.Embeddings calls no callbacks
    unsupported: ClassVar = {
        "reranker": "DSPy has no re-rankers; decorate your function with `@ragwheel.reranker`",
        "streaming": "`dspy.streamify` streams beside the program, whose answer is recorded when it ends",
    }

    def instrument(self) -> None:
        ragwheel_dspy.instrument()

    def uninstrument(self) -> None:
        ragwheel_dspy.uninstrument()

    def retriever(self, k: int = 4, *, error: Any = None, during: Any = None) -> Any:
        return Bound(dspy.Retrieve(k=k), RetrievalModel(error, during))

    def search(self, retriever: Any, query: str) -> Any:
        return retriever(query).passages

    async def asearch(self, retriever: Any, query: str) -> Any:
        return await dspy.asyncify(self.search)(retriever, query)

    def read(self, chunk: Any) -> ContractChunk:
        return ContractChunk("", chunk)

    def nested(self, retriever: Any) -> Any:
        return FirstTwo(retriever)

    def engine(self, retriever: Any, answer: str) -> Any:
        program = RAG(retriever)

        def ask(question: str) -> str:
            with dspy.context(lm=DummyLM([{"answer": answer}])):
                return str(program(question=question).answer)

        return ask

    def overfetching(self, retriever: Any, capture_k: int) -> Any:
        return ragwheel_dspy.wrap_retriever(embeddings(k=retriever.retrieve.k), capture_k)

    @contextlib.contextmanager
    def traced(self) -> Iterator[list[Any]]:
        recorder = Recorder()
        with dspy.context(callbacks=[recorder, *dspy.settings.callbacks]):
            yield recorder.events
