"""DSPy held to the contract of integrations."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any, ClassVar

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # DSPy's client would ask the network for it

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

    def streaming_engine(self, retriever: Any, answer: str) -> Any:
        listener = dspy.streaming.StreamListener(signature_field_name="answer")
        streamed = dspy.streamify(RAG(retriever), stream_listeners=[listener], async_streaming=False)

        def ask(question: str) -> Iterator[str]:
            reply = f"[[ ## answer ## ]]\n{answer}\n\n[[ ## completed ## ]]"
            with dspy.context(lm=dspy.LM("openai/none", api_key="none", mock_response=reply, cache=False)):
                for piece in streamed(question=question):
                    if isinstance(piece, dspy.streaming.StreamResponse):
                        yield piece.chunk

        return ask

    def overfetching(self, retriever: Any, capture_k: int) -> Any:
        return ragwheel_dspy.wrap_retriever(embeddings(k=retriever.retrieve.k), capture_k)

    @contextlib.contextmanager
    def traced(self) -> Iterator[list[Any]]:
        recorder = Recorder()
        with dspy.context(callbacks=[recorder, *dspy.settings.callbacks]):
            yield recorder.events
