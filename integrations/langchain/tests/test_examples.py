"""The LangChain selector picks what its framework-free twin picks, and what LangChain's own would."""

from __future__ import annotations

import asyncio
import statistics
import threading
import time
from typing import Any

import numpy as np
import pytest
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.example_selectors import BaseExampleSelector, MaxMarginalRelevanceExampleSelector
from langchain_core.prompts import FewShotPromptTemplate, PromptTemplate
from langchain_core.vectorstores import InMemoryVectorStore

from ragwheel import ConfigurationError
from ragwheel.fewshot import Example, Library, Selector
from ragwheel_langchain import FewShotSelector

pytest.importorskip("numpy")
EMBEDDINGS = DeterministicFakeEmbedding(size=24)


def embed(texts: Any) -> Any:
    return [EMBEDDINGS.embed_query(text) for text in texts]


def library(n: int) -> Library:
    return Library(tuple(Example(f"e{i}", f"question {i}", f"answer {i}", group="g") for i in range(n)))


@pytest.fixture(scope="module")
def forty() -> Library:
    return library(40)


@pytest.mark.parametrize(("k", "fetch_k", "weight"), [(1, 1, 0.5), (4, 10, 0.5), (5, 20, 1.0), (6, 40, 0.2)])
def test_it_picks_what_its_twin_and_langchains_own_pick(
    forty: Library, k: int, fetch_k: int, weight: float
) -> None:
    ours = FewShotSelector(forty, k=k, fetch_k=fetch_k, weight=weight, embeddings=EMBEDDINGS)
    twin = Selector(forty, k=k, fetch_k=fetch_k, weight=weight, embed=embed)
    store = InMemoryVectorStore(EMBEDDINGS)
    store.add_texts([e.question for e in forty.examples], [{"id": e.id} for e in forty.examples])
    for n in range(25):
        asked = f"asked {n}"
        found = [one["id"] for one in ours.select_examples({"question": asked})]
        assert found == [one.id for one in twin.select(asked)]
        theirs = store.max_marginal_relevance_search(asked, k=k, fetch_k=fetch_k, lambda_mult=weight)
        assert found == [document.metadata["id"] for document in theirs]
        assert [one["id"] for one in asyncio.run(ours.aselect_examples({"question": asked}))] == found


def test_it_is_a_selector_for_prompt_templates(forty: Library) -> None:
    selector = FewShotSelector(forty, k=2)
    assert isinstance(selector, BaseExampleSelector)
    assert not isinstance(selector, MaxMarginalRelevanceExampleSelector)
    prompt = FewShotPromptTemplate(
        example_selector=selector,
        example_prompt=PromptTemplate.from_template("Q: {question}\nA: {answer}"),
        suffix="Q: {asked}\nA:",
        input_variables=["asked"],
    )
    made = prompt.format(asked="question 7")  # the only input is the question, whatever its name
    assert made.startswith("Q: question 7\nA: answer 7\n")
    assert made.endswith("Q: question 7\nA:")


def test_added_examples_are_found_and_bad_ones_refused(forty: Library) -> None:
    selector = FewShotSelector(forty, k=1, embeddings=EMBEDDINGS)
    added = selector.add_example({"question": "brand new", "answer": "yes"})
    assert [one["id"] for one in selector.select_examples({"question": "brand new"})] == [added]
    with pytest.raises(ConfigurationError, match="needed: question and answer"):
        selector.add_example({"question": "no answer"})
    with pytest.raises(ConfigurationError, match="needed: question"):
        selector.select_examples({"a": "1", "b": "2"})
    with pytest.raises(ConfigurationError, match="allowed: a LangChain Embeddings"):
        FewShotSelector(forty, embeddings="minilm")


def test_a_thousand_examples_are_compared_at_once() -> None:
    """One by one would take seconds; the bound is loose for a busy machine that measures coverage."""
    vectors = np.random.default_rng(0).normal(size=(1_001, 384))
    place = {f"question {i}": vectors[i] for i in range(1_001)}
    selector = Selector(library(1_000), k=8, fetch_k=50, embed=lambda texts: [place[text] for text in texts])
    taken = []
    for _ in range(50):
        started = time.perf_counter()
        assert len(selector.select_vector(vectors[1_000])) == 8
        taken.append(time.perf_counter() - started)
    assert statistics.median(taken) < 0.25


def test_threads_select_while_others_add() -> None:
    selector = FewShotSelector(library(3), k=3, embeddings=EMBEDDINGS)
    failures: list[BaseException] = []
    begin = threading.Barrier(6)

    def work(n: int) -> None:
        try:
            begin.wait()
            for i in range(60):
                if n % 2:
                    selector.add_example({"question": f"added {n} {i}", "answer": "yes"})
                else:
                    assert len({one["id"] for one in selector.select_examples({"question": "q"})}) == 3
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(selector.selector) == 3 + 3 * 60
    found = selector.select_examples({"question": "added 1 59"})
    assert found[0]["question"] == "added 1 59"
