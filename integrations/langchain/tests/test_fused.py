"""A retriever that fuses what others find."""

from __future__ import annotations

import asyncio

import pytest
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever

from ragwheel import ConfigurationError
from ragwheel.deploy import Fusion
from ragwheel_langchain import FusedRetriever


class Fixed(BaseRetriever):
    """Finds the same documents for every question."""

    names: list[str]
    fails: bool = False

    def _get_relevant_documents(self, query, *, run_manager):
        if self.fails:
            raise TimeoutError("the index sleeps")
        return [Document(f"text of {name}", id=name) for name in self.names]


def names_of(documents):
    return [document.id for document in documents]


def test_it_gives_the_best_of_all():
    retriever = FusedRetriever([Fixed(names=["a", "b"]), Fixed(names=["b", "c"])], k=2)
    assert names_of(retriever.invoke("anything")) == ["b", "a"]


async def test_it_does_so_asynchronously():
    retriever = FusedRetriever([Fixed(names=["a", "b"]), Fixed(names=["b"])], Fusion("rrf", (1.0, 9.0)), k=1)
    assert names_of(await retriever.ainvoke("anything")) == ["b"]


def test_one_that_fails_is_left_out():
    retriever = FusedRetriever([Fixed(names=[], fails=True), Fixed(names=["a"])])
    assert names_of(retriever.invoke("anything")) == ["a"]
    with pytest.raises(TimeoutError):
        FusedRetriever([Fixed(names=[], fails=True)]).invoke("anything")


async def test_one_that_fails_is_left_out_asynchronously():
    retriever = FusedRetriever([Fixed(names=[], fails=True), Fixed(names=["a"])])
    assert names_of(await retriever.ainvoke("anything")) == ["a"]
    with pytest.raises(TimeoutError):
        await FusedRetriever([Fixed(names=[], fails=True)]).ainvoke("anything")


async def test_asynchronous_searches_run_side_by_side():
    class Waiting(Fixed):
        async def _aget_relevant_documents(self, query, *, run_manager):
            waiting.append(self.names)
            await asyncio.wait_for(all_wait.wait(), 30) if len(waiting) < 2 else all_wait.set()
            return self._get_relevant_documents(query, run_manager=None)

    waiting, all_wait = [], asyncio.Event()
    retriever = FusedRetriever([Waiting(names=["a"]), Waiting(names=["b"])], Fusion("rrf", (2.0, 1.0)), k=1)
    assert names_of(await retriever.ainvoke("anything")) == ["a"]


def test_the_folder_of_a_training_gives_the_weights(tmp_path):
    Fusion("rrf", (1.0, 9.0)).save(tmp_path)
    for folder in (tmp_path, str(tmp_path)):
        retriever = FusedRetriever([Fixed(names=["a", "b"]), Fixed(names=["b"])], folder, k=1)
        assert names_of(retriever.invoke("anything")) == ["b"]


def test_other_weights_than_retrievers_are_refused():
    with pytest.raises(ConfigurationError, match="2 weights"):
        FusedRetriever([Fixed(names=["a"])], Fusion())
