"""Chains, graphs and agents as turns."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Iterator
from operator import itemgetter
from typing import Any

import pytest
from integrations.langchain.tests.conftest import Rows
from integrations.langchain.tests.test_contract import rag
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_core.runnables import RunnableLambda, RunnablePassthrough, chain
from langchain_core.vectorstores import InMemoryVectorStore

import ragwheel
import ragwheel_langchain

ANSWER = "As page so and so says [2]."


@pytest.fixture(autouse=True)
def _instrumented(rows: Rows) -> Iterator[None]:
    ragwheel_langchain.instrument()
    yield
    ragwheel.shutdown()


def retriever(k: int = 3) -> Any:
    store = InMemoryVectorStore(DeterministicFakeEmbedding(size=12))
    store.add_documents([Document(id=f"page-{n}", page_content=f"Page {n}") for n in range(1, 21)])
    return store.as_retriever(search_kwargs={"k": k})


def model(*answers: str) -> Any:
    return GenericFakeChatModel(messages=(AIMessage(text) for text in itertools.cycle(answers)))


def turns_and_queries(rows: Rows) -> list[tuple[str, str]]:
    """What each turn asked, and what was searched for in it."""
    joined = rows(
        "SELECT t.query AS asked, r.query AS searched FROM turns t JOIN retrievals r USING (turn_id)"
        " ORDER BY t.query, r.query"
    )
    return [(row["asked"], row["searched"]) for row in joined]


QUESTIONS = ["first?", "second?", "third?"]
SEPARATE = [(question, question) for question in QUESTIONS]


def test_each_question_of_a_batch_is_a_turn_of_its_own(rows: Rows) -> None:
    rag(retriever(), ANSWER).batch(QUESTIONS)
    assert turns_and_queries(rows) == SEPARATE
    assert [row["answer"] for row in rows("SELECT answer FROM turns")] == [ANSWER] * 3


def test_decorated_functions_and_wrapped_retrievers_in_a_batch_belong_to_their_own_question(
    rows: Rows,
) -> None:
    wrapped = ragwheel_langchain.wrap_retriever(retriever(), 6)

    @ragwheel.retriever(source="handbook")
    def search(query: str) -> list[dict[str, str]]:
        return [{"id": query, "text": f"about {query}"}]

    ask = (
        {"pages": wrapped, "more": RunnableLambda(search), "question": RunnablePassthrough()}
        | RunnableLambda(lambda state: f"{state['question']} {state['pages']}")
        | model(ANSWER)
    )
    ask.batch(QUESTIONS)
    assert turns_and_queries(rows) == sorted(SEPARATE * 2)


def test_an_async_batch_and_async_streams_keep_apart(rows: Rows) -> None:
    ask = rag(retriever(), ANSWER)

    async def read(question: str) -> str:
        return "".join([piece async for piece in ask.astream(question)])

    async def both() -> None:
        await ask.abatch(QUESTIONS)
        assert await asyncio.gather(*map(read, QUESTIONS)) == [ANSWER] * 3

    asyncio.run(both())
    assert turns_and_queries(rows) == sorted(SEPARATE * 2)
    assert [row["answer"] for row in rows("SELECT answer FROM turns")] == [ANSWER] * 6


def test_two_streams_in_one_thread_keep_apart_and_lend_their_turns_to_nobody(rows: Rows) -> None:
    ask, search = rag(retriever(), ANSWER), retriever()
    first, second = ask.stream("first?"), ask.stream("second?")
    for _ in itertools.zip_longest(first, second):
        search.invoke("mine")
    assert turns_and_queries(rows) == SEPARATE[:2]
    [outside] = rows("SELECT DISTINCT turn_id FROM retrievals WHERE query = 'mine'")
    assert outside["turn_id"] is None


def test_a_stream_that_is_left_records_what_was_read(rows: Rows) -> None:
    stream = rag(retriever(), ANSWER).stream("first?")
    read = next(stream) + next(stream)
    stream.close()
    rag(retriever(), ANSWER).invoke("second?")
    by_question = {row["query"]: row["answer"] for row in rows("SELECT query, answer FROM turns")}
    assert by_question["second?"] == ANSWER
    assert by_question["first?"]  # LangChain leaves the last piece out
    assert read.startswith(by_question["first?"])


def test_threads_that_begin_their_chains_together_keep_apart(rows: Rows) -> None:
    ask, barrier = rag(retriever(), ANSWER), threading.Barrier(3)

    def run(question: str) -> None:
        barrier.wait(30)
        ask.invoke(question)

    threads = [threading.Thread(target=run, args=(question,)) for question in QUESTIONS]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert turns_and_queries(rows) == SEPARATE


def test_the_prompt_is_told_from_what_the_model_was_sent_in_its_order_there(rows: Rows) -> None:
    """Page 1 is in the text of Page 12, and the app turns the order round and leaves one out."""
    pages = [Document(id=str(n), page_content=f"Page {n}") for n in (1, 12, 3)]
    search = RunnableLambda(ragwheel.retriever(source="s")(lambda query: pages))
    prompt = RunnableLambda(
        lambda documents: [
            SystemMessage("Answer from the pages"),
            HumanMessage([{"type": "text", "text": "Page 3 and Page 12"}]),
        ]
    )
    (search | prompt | model("It is so [1].")).invoke("first?")
    prompted = rows("SELECT chunk_id FROM impressions WHERE exposure = 'prompted' ORDER BY rank")
    assert [row["chunk_id"] for row in prompted] == ["12", "3"]
    assert [row["chunk_id"] for row in rows("SELECT chunk_id FROM citations")] == ["3"]


def test_session_and_user_come_from_the_metadata(rows: Rows) -> None:
    ask = rag(retriever(), ANSWER)
    ask.invoke("first?", {"metadata": {"session_id": "s1", "user_id": "u1"}})
    ask.invoke("second?", {"metadata": {"thread_id": "t1"}})
    sessions = rows("SELECT session_id, user_id FROM turns ORDER BY start_ns")
    assert [(row["session_id"], row["user_id"]) for row in sessions] == [("s1", "u1"), ("t1", None)]


def test_the_answer_that_the_app_gives_its_own_turn_stays(rows: Rows) -> None:
    ask = rag(retriever(), ANSWER)
    with ragwheel.turn("mine?") as turn:
        ask.invoke("first?")
        turn.answer("Said by me [1].")
        ask.invoke("second?")
    [row] = rows("SELECT query, answer FROM turns")
    assert (row["query"], row["answer"]) == ("mine?", "Said by me [1].")


def test_of_two_chains_in_a_turn_of_the_app_the_second_answers_from_its_own_prompt(rows: Rows) -> None:
    with ragwheel.turn("mine?"):
        rag(retriever(2), "So [2].").invoke("first?")
        rag(retriever(3), "No, so [3].").invoke("second?")
    [row] = rows("SELECT answer FROM turns")
    assert row["answer"] == "No, so [3]."
    [cited] = rows("SELECT r.query, c.rank FROM citations c JOIN retrievals r USING (retrieval_id)")
    assert (cited["query"], cited["rank"]) == ("second?", 3)


def test_the_prompt_that_the_app_names_stays(rows: Rows) -> None:
    search = retriever(3)
    with ragwheel.turn("mine?") as turn:
        documents = search.invoke("first?")
        turn.prompted([documents[2]])
        rag(search, "So [1].").invoke("first?")
    [cited] = rows("SELECT c.rank FROM citations c")
    assert cited["rank"] == 3


def test_a_chain_that_retrieves_nothing_is_no_answer(rows: Rows) -> None:
    with ragwheel.turn("mine?"):
        rag(retriever(), ANSWER).invoke("first?")
        (RunnableLambda(lambda text: f"Ask more about: {text}") | model("What else?")).invoke("first?")
    model("Hello").invoke("hello")
    (RunnableLambda(str) | model("Hello")).invoke("hello")
    assert [row["answer"] for row in rows("SELECT answer FROM turns")] == [ANSWER]


def test_pages_put_together_for_a_prompt_are_no_answer(rows: Rows) -> None:
    join = RunnableLambda(lambda documents: "\n\n".join(d.page_content for d in documents))
    context = (retriever() | join).invoke("first?")
    [row] = rows("SELECT query, answer FROM turns")
    assert (row["query"], row["answer"]) == ("first?", None)
    assert context


def test_a_function_that_asks_a_model_that_langchain_does_not_know_answers(rows: Rows) -> None:
    search = retriever()

    @chain
    def ask(question: str) -> str:
        search.invoke(question)
        return "As the first page says [1]."

    ask.invoke("first?")
    assert [row["answer"] for row in rows("SELECT answer FROM turns")] == ["As the first page says [1]."]


@pytest.mark.parametrize(
    "inputs",
    [
        {"question": "first?", "chat_history": []},
        {"input": "first?", "context": "no question"},
        {"messages": [HumanMessage("before?"), AIMessage("so"), HumanMessage("first?")]},
        {"messages": [("user", "before?"), ("assistant", "so"), ("user", "first?")]},
        {"messages": [{"role": "user", "content": "first?"}]},
        {"topic": "first?"},
    ],
)
def test_where_the_question_is(inputs: dict[str, Any], rows: Rows) -> None:
    ask = RunnableLambda(lambda _: "first?") | retriever() | RunnableLambda(str) | model(ANSWER)
    ask.invoke(inputs)
    assert [(row["query"], row["answer"]) for row in rows("SELECT * FROM turns")] == [("first?", ANSWER)]


@pytest.mark.parametrize(
    "shape",
    [
        lambda message: {"answer": message.content, "context": "not this", "input": "nor this"},
        lambda message: {"output": message},
        lambda message: {"messages": [HumanMessage("first?"), message]},
        lambda message: [HumanMessage("first?"), message],
        lambda message: message,
        itemgetter("content"),
    ],
)
def test_where_the_answer_is(shape: Any, rows: Rows) -> None:
    message = {"content": ANSWER} if isinstance(shape, itemgetter) else AIMessage(ANSWER)
    ask = RunnableLambda(retriever().invoke) | (lambda _: message) | RunnableLambda(shape)
    ask.invoke("first?")
    assert [row["answer"] for row in rows("SELECT answer FROM turns")] == [ANSWER]


def test_inputs_that_do_not_say_what_was_asked_make_no_turn(rows: Rows) -> None:
    """A job that goes through a list of questions is not one turn."""
    search = retriever()
    RunnableLambda(lambda job: [search.invoke(q) for q in job["todo"]]).invoke({"todo": QUESTIONS, "n": 3})
    assert rows("SELECT * FROM turns") == []
    assert len(rows("SELECT * FROM retrievals")) == 3


def test_a_chain_with_callbacks_of_its_own_inside_a_step_is_part_of_that_step(rows: Rows) -> None:
    search = retriever()

    @chain
    def ask(question: str) -> str:
        (search | RunnableLambda(len)).invoke(f"{question} (rewritten)", {"callbacks": []})
        return ANSWER

    ask.invoke("first?")
    assert turns_and_queries(rows) == [("first?", "first? (rewritten)")]


def test_a_failed_chain_is_a_turn_with_its_error(rows: Rows) -> None:
    def fail(_: object) -> str:
        raise ValueError("no model")

    with pytest.raises(ValueError, match="no model"):
        (retriever() | RunnableLambda(fail)).invoke("first?")
    [row] = rows("SELECT query, answer, error FROM turns")
    assert (row["query"], row["answer"], row["error"]) == ("first?", None, "ValueError")
    retriever().invoke("outside?")
    [outside] = rows("SELECT turn_id FROM retrievals WHERE query = 'outside?'")
    assert outside["turn_id"] is None


def test_turns_can_be_left_to_the_app(rows: Rows) -> None:
    ragwheel_langchain.instrument(turns=False)
    rag(retriever(), ANSWER).invoke("first?")
    assert rows("SELECT * FROM turns") == []
    ragwheel_langchain.instrument()
    rag(retriever(), ANSWER).invoke("second?")
    assert [row["query"] for row in rows("SELECT query FROM turns")] == ["second?"]


def test_no_run_is_kept_after_its_end(rows: Rows) -> None:
    ask = rag(retriever(), ANSWER)
    ask.batch(QUESTIONS)
    list(ask.stream("first?"))
    asyncio.run(ask.ainvoke("second?"))
    assert len(ragwheel_langchain.chains.RUNS) == 0


def test_a_graph_whose_nodes_retrieve_answers_as_one_turn(rows: Rows) -> None:
    graphs = pytest.importorskip("langgraph.graph", reason="pip install langgraph")
    search, answering = retriever(), rag(retriever(), ANSWER)
    graph = graphs.StateGraph(graphs.MessagesState)
    graph.add_node("look", lambda state: {"messages": [SystemMessage(str(search.invoke("looked up")))]})
    graph.add_node("say", lambda state: {"messages": [AIMessage(answering.invoke("asked again"))]})
    graph.add_edge(graphs.START, "look")
    graph.add_edge("look", "say")
    app = graph.compile()
    asked = {"messages": [("user", "first?")]}
    app.invoke(asked, {"configurable": {"thread_id": "t1"}})
    for _ in app.stream(asked, {"configurable": {"thread_id": "t2"}}):
        pass
    stored = rows("SELECT query, session_id, answer FROM turns ORDER BY session_id")
    assert [tuple(row.values()) for row in stored] == [("first?", "t1", ANSWER), ("first?", "t2", ANSWER)]
    assert turns_and_queries(rows) == sorted([("first?", "asked again"), ("first?", "looked up")] * 2)
