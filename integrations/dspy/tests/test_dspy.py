"""What the contract does not ask: indices, prompts, tools, evaluations, refusals, examples and metrics."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dspy
import pytest
from dspy.utils import DummyLM
from integrations.dspy.tests.parts import RAG, TEXTS, RetrievalModel, embeddings

import ragwheel
import ragwheel_dspy
from ragwheel.errors import DatasetError
from ragwheel.fewshot import Example, Library
from ragwheel.integration import text_id
from ragwheel.store import open_store
from ragwheel_dspy.callbacks import HANDLER

QUESTION = "How are the keys rotated?"


@pytest.fixture
def rows(tmp_path: Path) -> Iterator[Callable[[str], list[tuple[Any, ...]]]]:
    """A configured ragwheel that records DSPy; called with a query, what is in the store by then."""
    db = tmp_path / "ragwheel.db"
    ragwheel.configure(db=str(db))
    ragwheel_dspy.instrument()

    def read(sql: str) -> list[tuple[Any, ...]]:
        assert ragwheel.flush(30)
        connection = open_store(db)
        try:
            return connection.execute(sql).fetchall()
        finally:
            connection.close()

    yield read
    ragwheel_dspy.uninstrument()


def test_passages_of_an_index_have_its_indices_as_ids_and_its_scores(rows: Any) -> None:
    search = ragwheel_dspy.wrap_retriever(embeddings(k=3), 5, source="handbook", check_overfetch=0)
    prediction = search(QUESTION)
    plain = embeddings(k=3)(QUESTION)
    assert (prediction.passages, prediction.indices) == (plain.passages, plain.indices)
    stored = rows("SELECT chunk_id, score, exposure FROM impressions ORDER BY rank")
    assert [chunk for chunk, _, _ in stored[:3]] == [str(index) for index in plain.indices]
    assert [exposure for _, _, exposure in stored] == ["returned"] * 3 + ["logged"] * 2
    scores = [score for _, score, _ in stored]
    if len(embeddings().search_fn(QUESTION)) == 2:  # DSPy 3.0 keeps them to itself
        assert scores == [None] * 5
    else:
        assert scores == sorted(scores, reverse=True)


def test_a_wrapped_index_in_a_program_is_in_its_prompt_and_cited(rows: Any) -> None:
    program = RAG(ragwheel_dspy.wrap_retriever(embeddings(k=3), source="handbook"))
    with dspy.context(lm=DummyLM([{"answer": "As it says [2]."}])):
        program(question=QUESTION)
    assert rows("SELECT query, answer FROM turns") == [(QUESTION, "As it says [2].")]
    second = embeddings(k=3)(QUESTION).indices[1]
    assert rows("SELECT source, chunk_id, matched FROM citations") == [("handbook", str(second), 1)]
    assert rows("SELECT count(*) FROM impressions WHERE exposure = 'prompted'") == [(3,)]


def test_a_wrapped_model_inside_retrieve_gives_its_passages_the_ids_they_had(rows: Any) -> None:
    def model(query: str, k: int = 3) -> list[Any]:
        return [dspy.Prediction(id=f"page-{n}", long_text=TEXTS[n]) for n in range(k)]

    wrapped = ragwheel_dspy.wrap_retriever(model, source="pages")
    with dspy.context(rm=wrapped):
        dspy.Retrieve(k=2)(QUESTION)
    outer = rows("SELECT chunk_id FROM impressions WHERE exposure = 'returned' ORDER BY rank")
    assert outer == [("page-0",), ("page-1",)]


def test_an_answer_that_was_not_made_from_passages_is_not_the_turns(rows: Any) -> None:
    answers = [{"query": "keys rotation"}, {"answer": "So it is [1]."}, {"verdict": "safe"}]
    with ragwheel.turn(QUESTION), dspy.context(lm=DummyLM(answers), rm=RetrievalModel()):
        dspy.Predict("question -> query")(question=QUESTION)
        passages = dspy.Retrieve(k=2)("keys rotation").passages
        dspy.Predict("context: list[str], question -> answer")(context=passages, question=QUESTION)
        dspy.Predict("text -> verdict")(text="So it is [1].")
    assert rows("SELECT query, answer, n_citations FROM turns") == [(QUESTION, "So it is [1].", 1)]


def test_passages_joined_into_one_text_are_in_the_prompt(rows: Any) -> None:
    with ragwheel.turn(QUESTION), dspy.context(lm=DummyLM([{"answer": "So."}]), rm=RetrievalModel()):
        passages = dspy.Retrieve(k=3)(QUESTION).passages
        dspy.Predict("context, question -> answer")(context="\n".join(passages[:2]), question=QUESTION)
    assert rows("SELECT count(*) FROM impressions WHERE exposure = 'prompted'") == [(2,)]


def test_a_tool_that_retrieves_is_recorded_when_it_is_named(rows: Any) -> None:
    def search(query: str) -> list[str]:
        """Search the handbook."""
        return TEXTS[:3]

    def clock() -> str:
        """Tell the time."""
        return "noon"

    ragwheel_dspy.instrument(tools=["search"])
    dspy.Tool(search)(query=QUESTION)
    dspy.Tool(clock)()
    assert rows("SELECT source, query, n_chunks FROM retrievals") == [("search", QUESTION, 3)]


def test_evaluations_are_not_recorded(rows: Any) -> None:
    examples = [dspy.Example(question=f"{QUESTION} {n}").with_inputs("question") for n in range(3)]
    with dspy.context(lm=DummyLM([{"answer": "So."}] * 4), rm=RetrievalModel()):
        program = RAG(dspy.Retrieve(k=2))
        dspy.Evaluate(devset=examples, metric=lambda *_: 1.0, num_threads=1, display_progress=False)(program)
        assert rows("SELECT * FROM retrievals") == []
        program(question=QUESTION)
    assert len(rows("SELECT * FROM retrievals")) == 1


def test_programs_are_copied_and_pickled_as_before(rows: Any) -> None:
    assert copy.deepcopy(HANDLER) is HANDLER
    assert pickle.loads(pickle.dumps(HANDLER)) is HANDLER
    wrapped = ragwheel_dspy.wrap_retriever(embeddings(k=3))
    assert wrapped.k == 3
    assert ragwheel_dspy.wrap_retriever(wrapped).retriever is wrapped.retriever


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ragwheel_dspy.wrap_retriever(7), "allowed is a callable of a query"),
        (lambda: ragwheel_dspy.wrap_retriever(embeddings(), 0), "allowed is a whole number from 1"),
        (lambda: ragwheel_dspy.instrument(tools="search"), "is one text; allowed: tools="),
        (lambda: ragwheel_dspy.graded_metric("grades.txt"), "ragwheel export grades"),
        (lambda: ragwheel_dspy.graded_metric("grades.jsonl", k=0), "whole number from 1"),
    ],
)
def test_what_cannot_be_is_refused_with_what_can(call: Any, message: str) -> None:
    with pytest.raises(ragwheel.ConfigurationError, match=message):
        call()


def test_a_librarys_examples_are_dspys(tmp_path: Path) -> None:
    library = Library(
        (Example("0123456789ab", "Why?", "So.", reasoning="Since."), Example("ba9876543210", "Who?", "I."))
    )
    first, second = ragwheel_dspy.few_shot_examples(library, answer="response")
    assert (first.question, first.response, first.reasoning) == ("Why?", "So.", "Since.")
    assert set(second.inputs().keys()) == {"question"}
    assert "reasoning" not in second
    with pytest.raises(DatasetError, match="no few-shot library"):
        ragwheel_dspy.few_shot_examples(tmp_path)


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
def test_the_metric_is_the_share_of_the_belief_that_could_be_had(tmp_path: Path, suffix: str) -> None:
    graded = [("7", 0.9), ("2", 0.3), (text_id("a page"), 0.6), ("9", "")]
    path = tmp_path / f"grades{suffix}"
    if suffix == ".csv":
        path.write_text("query,chunk_id,belief\n" + "".join(f"{QUESTION},{c},{b}\n" for c, b in graded))
    else:
        rows = [{"query": QUESTION, "chunk_id": c, "belief": b or None} for c, b in graded]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    metric: Any = ragwheel_dspy.graded_metric(path, k=2)
    assert metric.questions == {QUESTION}
    example = dspy.Example(question=QUESTION)
    by_index = dspy.Prediction(passages=["x", "y", "z"], indices=[7, 9, 2])
    assert metric(example, by_index) == pytest.approx(0.9 / 1.5)
    assert metric(example, dspy.Prediction(passages=["a page", "x"])) == pytest.approx(0.6 / 1.5)
    assert metric(dspy.Example(question="another"), by_index) == 0.0


def test_a_file_with_other_columns_is_refused(tmp_path: Path) -> None:
    (tmp_path / "grades.jsonl").write_text('{"question": "q"}\n')
    with pytest.raises(ragwheel.ConfigurationError, match="no column query"):
        ragwheel_dspy.graded_metric(tmp_path / "grades.jsonl")
