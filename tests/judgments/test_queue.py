"""What a person is asked first."""

from __future__ import annotations

from contextlib import closing

from ragwheel import offline
from ragwheel.judgments import candidates
from ragwheel.judgments.queue import open_pairs
from ragwheel.labels import load_policy
from ragwheel.labels.engines.engine import DuckDBEngine
from ragwheel.labels.pipeline import grade_store
from ragwheel.labels.traces.read import TextReader, read_store
from ragwheel.store import open_store
from ragwheel.testing import TraceStore

QUERY = "how do I reset it?"


def named(found):
    return [(one.query, one.chunk_id, one.why) for one in found]


def test_contradictions_come_first_and_what_is_sure_last(store):
    cited = store.ask("which plan?", ["plan", "price"], cited=[1, 2], shown=[1, 2])
    store.signal(cited, "delete", "price", subject="u1")
    found = candidates(store.path, judge="ann")
    assert named(found)[0] == ("which plan?", "price", "contradictory")
    order = ["contradictory", "abstained", "unsure", "nothing known", "sure"]
    places = [order.index(one.why) for one in found]
    assert places == sorted(places)
    assert named(candidates(store.path, judge="ann")) == named(found)
    assert named(candidates(store.path, judge="ann", limit=2)) == named(found)[:2]


def test_of_each_tier_one_chunk_of_every_query_comes_before_the_second_of_any(store):
    for question in ("one click?", "another click?"):
        asked = store.ask(question, ["top", "middle", "low"], shown=[1, 2, 3], answer=None)
        store.signal(asked, "click", "low")
    found = [one for one in candidates(store.path, judge="ann") if one.why == "abstained"]
    first = [one.query for one in found[:2]]
    assert len(found) >= 3
    assert len(set(first)) == 2


def test_what_one_judge_has_done_is_left_out_for_that_one_only(store):
    before = named(candidates(store.path, judge="ann"))
    offline.judge(store.path, QUERY.upper(), "length", 1, judge="ann")
    after = named(candidates(store.path, judge="ann"))
    assert {pair[:2] for pair in before} - {pair[:2] for pair in after} == {(QUERY, "length")}
    assert (QUERY, "length") in {pair[:2] for pair in named(candidates(store.path, judge="bob"))}


def test_chunks_without_text_are_nothing_to_judge(store):
    store.chunk("blank", " ")
    store.ask("a question", ["blank"], answer=None)
    assert "blank" not in {one.chunk_id for one in candidates(store.path, judge="ann")}


def test_what_ranked_high_and_nobody_was_exposed_to_is_there_for_who_asks_for_it(store):
    ranked = [f"deep{n}" for n in range(12)]
    store.ask("how deep?", ranked, cited=[1], prompted=[1], returned=2)
    store.ask("how deep?", ["deep3"], answer=None)
    usual = named(candidates(store.path, judge="ann"))
    found = candidates(store.path, judge="ann", unexposed=True)
    never = [(one.chunk_id, one.rank) for one in found if one.why == "never exposed"]
    assert never == [(f"deep{n}", n + 1) for n in (2, *range(4, 10))]
    assert [one for one in named(found) if one[2] != "never exposed"] == usual
    offline.judge(store.path, "how deep?", "deep2", 1, judge="bob")
    again = {one.chunk_id: one.why for one in candidates(store.path, judge="ann", unexposed=True)}
    assert again["deep2"] not in ("never exposed", "nothing known")


def test_pairs_for_a_check_are_of_every_degree_of_belief_and_of_many_questions(tmp_path):
    with TraceStore(tmp_path / "traces.db") as store:
        for n in range(12):
            asked = store.ask(f"question {n}", [f"a{n}", f"b{n}", f"c{n}"], shown=[1, 2, 3], cited=[1])
            if n % 2:
                store.signal(asked, "click", f"a{n}", subject=f"u{n}")
            store.signal(asked, "delete", f"c{n}", subject=f"u{n}")
    every = candidates(store.path, judge="ann", check=True)
    check = candidates(store.path, judge="ann", limit=8, check=True)
    assert named(check) == named(every)[:8]
    assert len({pair.query for pair in check}) == 8
    assert {pair.chunk_id[0] for pair in check} == {"a", "b", "c"}
    assert len(every) == 36
    offline.judge(store.path, check[0].query, check[0].chunk_id, 3, judge="bob")
    again = [pair[:2] for pair in named(candidates(store.path, judge="ann", check=True))]
    assert (check[0].query, check[0].chunk_id) not in again, "somebody has judged it"
    with closing(open_store(store.path)) as connection, DuckDBEngine(threads=1) as engine:
        graded = grade_store(engine, read_store(connection), TextReader(connection), load_policy())
        pairs, usual = open_pairs(graded, check=True), open_pairs(graded)
    assert [(pair.query, pair.chunk_id) for pair in pairs[:35]] == again
    assert sorted(pairs, key=str) == sorted(usual, key=str), "the rest comes after them"
