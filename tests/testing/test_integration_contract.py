"""The contract of integrations holds for one that is right and fails for one that is wrong."""

from __future__ import annotations

import asyncio
import contextlib
import unittest
from typing import Any, ClassVar

import pytest

import ragwheel
from ragwheel.testing import CORPUS, FEATURES, QUESTION, ContractChunk, IntegrationContract


class Toy:
    """A framework: its retrievers are run by `run`, which tells its listeners."""

    listeners: ClassVar[list[Any]] = []

    @classmethod
    def run(cls, search: Any, query: str) -> list[dict[str, Any]]:
        listeners = list(cls.listeners)
        opened = [listener.began(query) for listener in listeners]
        try:
            chunks = search(query)
        except LookupError as error:
            for listener, retrieval in zip(listeners, opened, strict=True):
                listener.failed(retrieval, error)
            raise
        for listener, retrieval in zip(listeners, opened, strict=True):
            listener.ended(retrieval, chunks)
        return chunks


class Capture:
    """An integration of the toy."""

    def began(self, query: str) -> Any:
        retrieval = ragwheel.start_retrieval(query, source="toy")
        retrieval.enter()
        return retrieval

    def failed(self, retrieval: Any, error: BaseException) -> None:
        retrieval.fail(error)

    def ended(self, retrieval: Any, chunks: Any) -> None:
        retrieval.finish(chunks)


class Watching:
    def __init__(self) -> None:
        self.events: list[Any] = []

    def began(self, query: str) -> None:
        self.events.append(query)

    def failed(self, _: Any, error: BaseException) -> None:
        self.events.append(error)

    def ended(self, _: Any, chunks: Any) -> None:
        self.events.append(chunks)


class ToyContract(IntegrationContract):
    framework = "Toy"
    capture: Any = Capture()
    unsupported: ClassVar = dict.fromkeys(("reranker", "engine", "streaming", "overfetch"), "a toy")

    def instrument(self) -> None:
        if self.capture not in Toy.listeners:
            Toy.listeners.append(self.capture)

    def uninstrument(self) -> None:
        if self.capture in Toy.listeners:
            Toy.listeners.remove(self.capture)

    def retriever(self, k: int = 4, *, error: Any = None, during: Any = None) -> Any:
        def search(query: str) -> list[dict[str, Any]]:
            if during is not None:
                during()
            if error is not None:
                raise error
            chunks = [
                {"id": c.id, "text": c.text, "metadata": dict(c.metadata), "score": 1 / (n + 2)}
                for n, c in enumerate(CORPUS)
            ]
            return chunks[:k]

        return search

    def search(self, retriever: Any, query: str) -> Any:
        return Toy.run(retriever, query)

    async def asearch(self, retriever: Any, query: str) -> Any:
        await asyncio.sleep(0)
        return Toy.run(retriever, query)

    def read(self, chunk: Any) -> ContractChunk:
        return ContractChunk(chunk["id"], chunk["text"], chunk["metadata"], chunk["score"])

    def nested(self, retriever: Any) -> Any:
        return lambda query: Toy.run(retriever, query)[:2]

    @contextlib.contextmanager
    def traced(self) -> Any:
        watching = Watching()
        Toy.listeners.append(watching)
        yield watching.events
        Toy.listeners.remove(watching)


class TestToy(ToyContract):
    pass


class Silent(Capture):
    def ended(self, retrieval: Any, chunks: Any) -> None:
        retrieval.abandon()


class Doubling(Capture):
    def ended(self, retrieval: Any, chunks: Any) -> None:
        super().ended(retrieval, chunks)
        super().ended(ragwheel.start_retrieval(QUESTION, source="toy"), chunks)


class Changing(Capture):
    def ended(self, retrieval: Any, chunks: Any) -> None:
        super().ended(retrieval, chunks)
        chunks.reverse()


class Flat(Capture):
    """Does not say what a retrieval runs inside."""

    def began(self, query: str) -> Any:
        return ragwheel.start_retrieval(query, source="toy")


class Forgetful(Capture):
    """Says nothing of failures."""

    def failed(self, retrieval: Any, error: BaseException) -> None:
        retrieval.leave()


class Slow(Capture):
    def began(self, query: str) -> Any:
        sum(range(1_000_000))
        return super().began(query)


@pytest.mark.parametrize(
    ("capture", "feature"),
    [
        (Silent, "search"),
        (Silent, "twice"),
        (Silent, "asynchronous"),
        (Silent, "threads"),
        (Silent, "event_loops"),
        (Silent, "turn"),
        (Silent, "uninstrument"),
        (Doubling, "search"),
        (Doubling, "twice"),
        (Doubling, "traces"),
        (Changing, "identical"),
        (Flat, "nesting"),
        (Forgetful, "error"),
        (Slow, "overhead"),
    ],
)
def test_a_wrong_integration_fails(capture: Any, feature: str) -> None:
    contract = ToyContract()
    contract.capture = capture()
    test = getattr(contract, f"test_{feature}")
    contract.setup_method(test)
    try:
        with pytest.raises((AssertionError, ValueError)):
            test()
    finally:
        contract.teardown_method()


def test_every_feature_has_a_test_and_every_test_a_feature() -> None:
    tests = {name.removeprefix("test_") for name in dir(IntegrationContract) if name.startswith("test_")}
    assert tests == set(FEATURES)


def test_an_unsupported_feature_is_skipped_with_its_reason() -> None:
    contract = ToyContract()
    with pytest.raises(unittest.SkipTest, match="Toy: a toy"):
        contract.setup_method(contract.test_engine)
