"""The simulated visitors behave as stated, and the same seed makes the same visits."""

from __future__ import annotations

import pytest

import ragwheel
from ragwheel import offline
from ragwheel.demo import Corpus, Passage, Query, read_beir
from ragwheel.demo.run import DemoOptions, app_retriever, wrapped_retriever
from ragwheel.demo.visitors import ClickModel, Visitors

FAITHFUL = ClickModel(
    examination_power=0,
    click_relevant=1,
    click_other=0,
    copy_relevant=0,
    delete_other=0,
    cite_relevant=1,
    cite_other=0,
    cite_when_lost=0,
    thumbs=1,
    thumbs_wrong=0,
)


@pytest.fixture
def corpus(tiny):
    return read_beir(tiny)


def visit(corpus, db, *, turns=60, seed=0, model=None) -> Visitors:
    ragwheel.configure(db=db)
    visitors = Visitors(
        corpus, wrapped_retriever(DemoOptions(), app_retriever(DemoOptions(), corpus)), seed=seed, model=model
    )
    for _ in visitors.visits(turns):
        pass
    ragwheel.shutdown()
    return visitors


def queries(db):
    return [line.query for line in reversed(offline.latest(db, 1_000))]


def test_what_they_did_is_what_is_stored(corpus, tmp_path):
    visitors = visit(corpus, tmp_path / "app.db", turns=150)
    found = offline.status(tmp_path / "app.db")
    assert visitors.report.turns >= 150
    assert found.turns == found.retrievals == found.answered == visitors.report.turns
    assert found.sessions == visitors.report.sessions
    assert found.signals == dict(visitors.report.signals)
    assert found.citations == visitors.report.citations
    assert visitors.report.refused == found.citations_unmatched == 0


def test_over_fetch_is_recorded_and_the_app_gets_k(corpus, tmp_path):
    visit(corpus, tmp_path / "app.db", turns=1)
    (retrieval, *_) = offline.show(tmp_path / "app.db").retrievals
    assert retrieval.n_returned == 5
    assert len(retrieval.chunks) > 5
    assert {chunk.exposure for chunk in retrieval.chunks[5:]} == {"logged"}


def test_the_same_seed_makes_the_same_visits(corpus, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        visit(corpus, tmp_path / name, seed=seed)
    assert queries(tmp_path / "a") == queries(tmp_path / "b") != queries(tmp_path / "c")
    counted = [offline.status(tmp_path / name) for name in ("a", "b")]
    assert counted[0].signals == counted[1].signals


def test_a_faithful_visitor_clicks_and_cites_the_truth_alone(corpus, tmp_path):
    visitors = visit(corpus, tmp_path / "app.db", model=FAITHFUL)
    for line in offline.latest(tmp_path / "app.db", 100):
        turn = offline.show(tmp_path / "app.db", line.id)
        relevant = visitors.truth[turn.query]
        assert {citation.chunk_id for citation in turn.citations} <= relevant
        assert {s.chunk_id for s in turn.signals if s.kind == "click"} <= relevant
    assert visitors.report.cited
    assert all(visitors.report.cited.values())
    assert visitors.report.signals["thumbs_up"] == visitors.report.answered


def test_the_model_is_stated_with_its_numbers():
    stated = dict(ClickModel(click_other=0.25, thumbs=0.5).describe())
    assert "25% of the wrong ones" in stated["clicks"]
    assert stated["rates"].startswith("50%")


def test_a_fifth_of_the_questions_is_left_whatever_the_seed(corpus, tmp_path):
    first, second = (visit(corpus, tmp_path / str(seed), turns=300, seed=seed) for seed in (1, 2))
    assert len(first.unasked) == 12
    assert first.unasked == second.unasked
    for seed in ("1", "2"):
        asked = queries(tmp_path / seed)
        assert not [one for one in asked for left in first.unasked if one.startswith(left.text)]


def test_a_question_in_two_wordings_of_letters_is_held_out_as_one(tmp_path):
    passages = tuple(Passage(f"p{n}", f"Thing {n}", f"What thing {n} is for.") for n in range(10))
    relevant = [frozenset({passage.id}) for passage in passages]
    asked = [Query(f"q{n}", f"what is thing {n}", relevant[n]) for n in range(10)]
    again = [Query(f"r{n}", f"What is THING {n}", relevant[n]) for n in range(10)]
    visitors = Visitors(Corpus("things", passages, (*asked, *again)), None)
    assert len(visitors.unasked) == 4
    assert len({one.relevant for one in visitors.unasked}) == 2


def test_one_question_is_asked_and_none_is_left():
    only = Query("q", "what is tea", frozenset({"p"}))
    visitors = Visitors(Corpus("tea", (Passage("p", "Tea", "Leaves."),), (only,)), None)
    assert visitors.unasked == ()
