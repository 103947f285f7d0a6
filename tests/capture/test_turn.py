"""Turns: what belongs to one, what was prompted and shown, answers and their citations."""

from __future__ import annotations

import asyncio
import contextvars
import json
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

import ragwheel

A, B, C = ({"id": name, "text": f"text of {name}"} for name in "abc")


@ragwheel.retriever(source="kb")
def search(query: str) -> list[dict[str, str]]:
    return [A, B, C]


@ragwheel.retriever(source="web")
def other_search(query: str) -> list[dict[str, str]]:
    return [{"id": "a", "text": "another a"}, {"id": "w", "text": "w"}]


def cited(store):
    return [(row["marker"], row["source"], row["chunk_id"]) for row in store.rows("SELECT * FROM citations")]


def exposures(store):
    return {
        (row["source"], row["chunk_id"]): row["exposure"]
        for row in store.rows("SELECT * FROM impressions ORDER BY retrieval_id, rank")
    }


def test_a_turn_holds_its_retrievals(store):
    with ragwheel.turn("the question", session_id="s", user_id="u") as turn:
        assert ragwheel.current_turn() is turn
        search("q")
        assert ragwheel.last_retrieval() is turn.retrievals[-1]
    assert ragwheel.current_turn() is None
    row = store.turn()
    assert (row["query"], row["session_id"], row["user_id"], row["answer"]) == (
        "the question",
        "s",
        "u",
        None,
    )
    assert row["duration_ns"] > 0
    retrieval = store.retrieval()
    assert (retrieval["turn_id"], retrieval["session_id"], retrieval["user_id"]) == (row["turn_id"], "s", "u")
    assert retrieval["trace_id"] == row["trace_id"]


async def test_async_with(store):
    async with ragwheel.turn() as turn:
        assert ragwheel.current_turn() is turn
        search("q")
    assert ragwheel.current_turn() is None
    assert store.turn()["query"] == "q"  # that of the first retrieval when none is given


def test_an_open_turn_is_on_disk_after_its_answer(store):
    with ragwheel.turn("q") as turn:
        turn.answer("yes")
        assert (store.turn()["answer"], store.turn()["duration_ns"]) == ("yes", 0)  # 0: has not ended
        turn.answer("no")
    assert store.turn()["answer"] == "no"


def test_an_exception_inside_goes_through_and_is_recorded(store):
    error = KeyError("the app's own")

    def handle():
        with ragwheel.turn("q") as turn:
            turn.answer("before it broke")
            raise error

    with pytest.raises(KeyError) as found:
        handle()
    assert found.value is error
    assert (store.turn()["error"], store.turn()["answer"]) == ("KeyError", "before it broke")


def test_nested_turns(store):
    with ragwheel.turn("outer") as outer:
        with ragwheel.turn("inner") as inner:
            search("in the inner")
        search("in the outer")
        assert ragwheel.current_turn() is outer
    assert [len(turn.retrievals) for turn in (outer, inner)] == [1, 1]
    rows = {row["query"]: row for row in store.rows("SELECT * FROM turns")}
    spans = {row["span_id"]: row["parent_id"] for row in store.rows("SELECT * FROM spans")}
    assert spans[rows["inner"]["turn_id"]] == rows["outer"]["turn_id"]


def test_the_same_turn_twice(store):
    turn = ragwheel.turn("q")
    with turn, turn:
        search("q")
    assert turn.ended
    assert ragwheel.current_turn() is None
    with turn:
        search("q")
    assert len(turn.retrievals) == 2


def test_a_turn_entered_twice_ends_with_its_outermost_block(store):
    turn = ragwheel.turn("q")
    with turn:
        with turn:
            search("inside both")
        ended_inside = turn.ended
        assert ragwheel.current_turn() is turn
        search("inside the outer one")
    assert (ended_inside, turn.ended) == (False, True)
    assert [retrieval.query for retrieval in turn.retrievals] == ["inside both", "inside the outer one"]


def test_what_a_retriever_calls_inside_itself_is_no_retrieval_of_the_turn(store):
    @ragwheel.retriever(source="both")
    def both(query):
        return [*other_search(query)[:1], *search(query)]

    with ragwheel.turn() as turn:
        both("q")
        search("q")
        assert [retrieval.source for retrieval in turn.retrievals] == ["both", "kb"]
        turn.answer("so [1] and [5]")
    assert cited(store) == [("[1]", "both", "a"), ("[5]", "kb", "a")]


def test_a_turn_that_is_not_sampled_is_counted_once_however_often_it_changes(tmp_path):
    ragwheel.configure(tmp_path / "none.db", sample_ratio=0.0)
    for answers in (3, 2):
        with ragwheel.turn("q") as turn:
            for n in range(answers):
                turn.answer(f"answer {n}")
    assert ragwheel.stats().unsampled == 2


def test_left_in_another_context(store):
    turn = ragwheel.turn("q")
    turn.__enter__()
    contextvars.copy_context().run(turn.__exit__, None, None, None)
    assert ragwheel.current_turn() is None
    turn.__exit__(None, None, None)  # once too often
    assert store.turn()["query"] == "q"


# prompted and shown


@pytest.mark.parametrize(
    ("given", "prompted", "flags"),
    [
        ([B, A], ["b", "a"], []),
        (["c", "a"], ["c", "a"], []),
        ((B,), ["b"], []),
        ("b", ["b"], []),
        ([dict(B)], ["b"], []),
        ([B, "nobody", {"id": "x", "text": "x"}], ["b"], ["unknown_prompted"]),
        ([], [], []),
        ({"documents": [C]}, ["c"], []),
        (iter([B]), None, ["iterator_not_read"]),
    ],
)
def test_prompted(store, given, prompted, flags):
    with ragwheel.turn() as turn:
        search("q")
        turn.prompted(given)
        turn.answer("so [1]")
    row = store.turn()
    assert row["flags"] == flags + (["unmatched_citation"] if prompted == [] else [])
    assert bool(row["prompted_given"]) == (prompted is not None)
    by_exposure = exposures(store)
    expected = prompted if prompted is not None else ["a", "b", "c"]
    assert {chunk for (_, chunk), found in by_exposure.items() if found == "prompted"} == set(expected)
    assert cited(store)[0][2] == (expected[0] if expected else None)


def test_shown(store):
    with ragwheel.turn() as turn:
        search("q")
        turn.shown([A, "c", object()])
    assert exposures(store) == {("kb", "a"): "shown", ("kb", "b"): "returned", ("kb", "c"): "shown"}
    assert store.turn()["flags"] == ["unknown_shown"]


def test_an_object_is_found_in_the_retrieval_it_came_from(store):
    with ragwheel.turn() as turn:
        first, second = search("q"), other_search("q")
        turn.prompted([first[0], second[1], second[0], "a"])
        turn.answer("[1] [2] [3] [4]")
    assert [found[1:] for found in cited(store)] == [("kb", "a"), ("web", "w"), ("web", "a"), ("web", "a")]


def test_texts_are_chunks_too(store):
    texts = ["one", "two"]
    with ragwheel.turn() as turn:
        ragwheel.retriever(lambda query: texts)("q")
        turn.prompted([json.loads(json.dumps("two"))])  # equal, not the same object
    assert [row["exposure"] for row in store.rows("SELECT * FROM impressions ORDER BY rank")] == [
        "returned",
        "prompted",
    ]


# answers


def test_citations_count_the_returned_chunks_of_all_retrievals_in_order(store):
    with ragwheel.turn() as turn:
        search("q")
        other_search("q")
        turn.answer("so [1], [4] and [9]")
    assert cited(store) == [("[1]", "kb", "a"), ("[4]", "web", "a"), ("[9]", None, None)]
    assert store.turn()["flags"] == ["unmatched_citation"]


def test_citations_count_what_the_last_reranker_gave(store):
    with ragwheel.turn() as turn:
        ragwheel.reranker(lambda query, chunks: chunks[::-1])("q", search("q"))
        turn.answer("so [1]")
    assert cited(store) == [("[1]", "kb", "c")]


def test_citations_count_the_last_of_several_rerankers(store):
    with ragwheel.turn() as turn:
        ranked = ragwheel.reranker(lambda query, chunks: [C, A, B])("q", search("q"))
        ragwheel.reranker(lambda query, chunks: [B, C])("q", ranked)
        turn.answer("so [1], [2] and [3]")
    assert cited(store) == [("[1]", "kb", "b"), ("[2]", "kb", "c"), ("[3]", None, None)]


def test_a_reranker_notes_the_ranks_of_the_latest_retrieval(store):
    answers = iter([[A, B, C], [C, B]])
    twice = ragwheel.retriever(source="kb")(lambda query: next(answers))
    with ragwheel.turn():
        twice("q")
        twice("q again")
        ragwheel.reranker(lambda query, chunks: [A, B, C])("q", [A, B, C])
    (row,) = store.rows("SELECT in_ranks FROM _retrieval WHERE kind = 1")
    assert json.loads(row["in_ranks"]) == [1, 2, 1]  # a was in the first alone, b and c in both


def test_citations_do_not_count_what_was_over_fetched(store):
    @ragwheel.retriever(k="k", source="kb")
    def two(query, k=2):
        return [A, B, C][:k]

    with ragwheel.turn() as turn:
        two("q")
        other_search("q")
        turn.answer("so [3]")
    assert cited(store) == [("[3]", "web", "a")]


@pytest.mark.parametrize("citations", [["b"], [B], [dict(B)], [2], "b"])
def test_citations_given(store, citations):
    with ragwheel.turn() as turn:
        search("q")
        turn.answer("so [1]", citations=citations)
    assert [found[2] for found in cited(store)] == ["b"]


def test_answer_and_prompted_after_the_turn_has_ended(store):
    with ragwheel.turn("q") as turn:
        search("q")
    turn.prompted([B])
    turn.answer("late [1]")
    assert store.turn()["answer"] == "late [1]"
    assert cited(store) == [("[1]", "kb", "b")]
    assert store.turn()["duration_ns"] > 0


@pytest.mark.parametrize("what", ["prompted", "shown"])
def test_what_is_listed_after_the_turn_has_ended_is_written_at_once(store, what):
    with ragwheel.turn("q") as turn:
        search("q")
    getattr(turn, what)([B])
    assert exposures(store)["kb", "b"] == what


def test_reasoning(store):
    with ragwheel.turn("q") as turn:
        search("q")
        turn.answer("It is a [1].", reasoning="The first chunk says a.")
    assert store.turn()["reasoning"] == "The first chunk says a."
    turn.answer("It is b [2].")
    row = store.turn()
    assert (row["answer"], row["reasoning"], row["flags"]) == ("It is b [2].", None, [])
    turn.answer("It is c [3].", reasoning=["steps", 1])
    row = store.turn()
    assert (row["answer"], row["flags"]) == ("It is c [3].", ["not_text"])


def test_a_turn_without_retrieval(store):
    with ragwheel.turn("hello") as turn:
        turn.answer("hello [1]")
    assert (store.turn()["answer"], cited(store)) == ("hello [1]", [("[1]", None, None)])


def test_hostile_answers_and_ids(store):
    class Refuses:
        def __getattribute__(self, name):
            raise RuntimeError(name)

    who = uuid.uuid4()
    with ragwheel.turn(session_id=7, user_id=who) as turn:
        turn.prompted(Refuses())
        turn.answer(Refuses())
        turn.answer("a\ud800")
    row = store.turn()
    assert (row["session_id"], row["user_id"], row["answer"]) == ("7", str(who), "a\ufffd")
    with ragwheel.turn(SimpleNamespace(), session_id=object(), user_id="") as turn:
        pass
    assert (turn.session_id, turn.user_id) == (None, None)
    assert ragwheel.stats().errors == {}


# many at once


async def test_turns_in_tasks(store):
    both = asyncio.Barrier(2) if hasattr(asyncio, "Barrier") else None

    async def one(name):
        async with ragwheel.turn(name) as turn:
            if both is not None:
                await both.wait()
            await asyncio.gather(*(asyncio.to_thread(search, f"{name} {n}") for n in range(3)))
            assert ragwheel.current_turn() is turn
            return {retrieval.query for retrieval in turn.retrievals}

    assert await asyncio.gather(one("x"), one("y")) == [{"x 0", "x 1", "x 2"}, {"y 0", "y 1", "y 2"}]
    joined = store.rows("SELECT t.query AS turn, r.query FROM retrievals r JOIN turns t USING (turn_id)")
    assert sorted(row["turn"] + row["query"][1:] for row in joined) == sorted(row["query"] for row in joined)
    assert len(joined) == 6


def test_turns_in_threads(store):
    inside = threading.Barrier(4)

    def one(name):
        with ragwheel.turn(name) as turn:
            inside.wait(10)
            search(name)
            return [retrieval.query for retrieval in turn.retrievals]

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(one, "wxyz")) == [["w"], ["x"], ["y"], ["z"]]


def test_a_turn_can_be_taken_into_a_thread(store):
    with ragwheel.turn() as turn, ThreadPoolExecutor(1) as pool:
        pool.submit(contextvars.copy_context().run, search, "q").result()
        pool.submit(search, "outside").result()
        assert [retrieval.query for retrieval in turn.retrievals] == ["q"]


# the low-level recorder


def test_start_retrieval(store):
    with ragwheel.turn() as turn:
        rec = ragwheel.start_retrieval("q", source="kb", version="3", top_k=2)
        inner = ragwheel.start_retrieval("q", source="kb", name="part", outer=rec)
        inner.finish([C])
        rec.finish([A, B, C], returned=2)
        rec.finish([])
        rec.fail(KeyError())
        rec.finish(None)
    failed = ragwheel.start_retrieval("q2", source="kb", turn=turn, kind="rerank", top_k="many")
    failed.fail(KeyError("x"))
    rows = {row["retriever"] + row["query"]: row for row in store.retrievals()}
    assert (rows["kbq"]["ids"], rows["kbq"]["n_returned"], rows["kbq"]["top_k"]) == (["a", "b", "c"], 2, 2)
    assert rows["partq"]["outer_id"] == rows["kbq"]["retrieval_id"]
    assert rows["partq"]["exposures"] == ["logged"]
    assert (rows["kbq2"]["error"], rows["kbq2"]["top_k"]) == ("KeyError", None)
    assert rows["kbq2"]["turn_id"] == rows["kbq"]["turn_id"]


@pytest.mark.parametrize(
    ("given", "n_returned"),
    [({"returned": 5}, 2), ({"returned": 5, "total": 3}, 3), ({"returned": -1}, 0), ({}, 2)],
)
def test_no_more_chunks_are_returned_than_there_were(store, given, n_returned):
    ragwheel.start_retrieval("q", source="kb").finish([A, B], **given)
    assert store.retrieval()["n_returned"] == n_returned
