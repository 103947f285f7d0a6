"""Reformulations: reported with a handle of any kind, or told by closeness, never by time alone."""

from __future__ import annotations

from contextlib import closing
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragwheel.handles import BadHandle, Target, make, parse, peek
from ragwheel.labels.evidence.collect import collect, described
from ragwheel.labels.evidence.sessions import Scorer, rarity
from ragwheel.labels.traces.exposure import facts
from ragwheel.labels.traces.read import TextReader, read_store
from ragwheel.store import open_store


def rows_of(store, engine, policy, kind):
    """Evidence of a kind under a policy."""
    with closing(open_store(store.path)) as connection:
        known = facts(engine, read_store(connection), TextReader(connection))
        rows = engine.arrow(described(known, collect(known, policy))).to_pylist()
    return [row for row in rows if row["kind"] == kind]


KEYS = ("k1:" + "ab" * 32,)
ASKED = ("how do I rotate log files", "how to rotate log files every day")
EXTRA = ("how do I pay by card", "how do I delete my account", "where is the office")
SCORER = Scorer(rarity((*ASKED, *EXTRA)))


@pytest.fixture
def implicit(policy):
    changed = policy.reformulation.model_copy(update={"implicit_strength": 0.5})
    return policy.model_copy(update={"reformulation": changed})


def test_rewording_is_closer_than_another_question():
    close = SCORER(*ASKED)
    assert close.lexical > 0.46
    assert max(SCORER(ASKED[0], other).lexical for other in EXTRA) < 0.46
    assert close.containment >= close.overlap


def test_time_takes_half_of_it_at_the_end_of_the_window():
    close = SCORER(*ASKED)
    assert close.score(1800, 1800) == pytest.approx(close.score() / 2)
    assert close.score(-5, 1800) == close.score()  # clocks run backwards


def test_meaning_counts_where_words_differ():
    vectors = {"car": [1.0, 0.0], "automobile": [0.8, 0.6]}
    calls = []

    def embed(texts):
        calls.append(list(texts))
        return [vectors[text] for text in texts]

    scorer = Scorer(embed=embed)
    scorer.prepare(["car", "automobile"])
    assert scorer("car", "automobile").score() == pytest.approx(0.8)
    assert calls[0] == ["automobile", "car"]
    assert len(calls) == 1


TEXTS = st.text(max_size=40)


@given(TEXTS, TEXTS)
def test_closeness_is_between_0_and_1_for_any_script(old, new):
    found = SCORER(old, new)
    for value in (found.overlap, found.containment, found.trigrams, found.edit, found.score(3, 10)):
        assert 0 <= value <= 1 + 1e-9
    assert SCORER("日志 轮转", "日志轮转 怎么").lexical > 0.4


@given(st.sampled_from([(), KEYS]), st.none() | st.text(max_size=20))
def test_a_handle_is_read_without_its_key(keys, subject):
    target = Target(1, b"12345678", b"t" * 16, subject, "app")
    handle = make(target, keys)
    assert peek(handle)[:3] == target[:3]
    assert peek(handle) == parse(handle, keys)


@pytest.mark.parametrize("handle", [None, 3, "", "s1.k.x.y", "s1.k.####.y", "u1.a.b", "é", "x" * 2000])
def test_what_is_no_handle_is_refused(handle):
    with pytest.raises(BadHandle):
        peek(handle)


def test_a_signed_handle_names_the_new_retrieval(store, evidence):
    old = store.ask("log rotate", ["a"], session_id="s1", answer=None)
    new = store.ask("rotating files", ["c", "d"], answer=None)
    store.signal(new, "click", "d")
    handle = make(Target(0, bytes.fromhex(new.retrieval_id), bytes(16), "ann", "app"), KEYS)
    store.signal(old, "reformulate", query="something else", other=handle)
    assert [row["chunk_id"] for row in evidence("reformulated")] == ["d"]


def chain(store, *, click=True, session="s1", gap_s=0, cited_before=()):
    store.ask("where is the office", ["x"], session_id=session)
    old = store.ask(ASKED[0], ["a", "b"], session_id=session, cited=cited_before)
    store.now_ns += gap_s * 1_000_000_000
    store.ask("how do I pay by card", ["y"], session_id=session)
    new = store.ask(ASKED[1], ["c", "d"], session_id=session, cited=())
    if click:
        store.signal(new, "click", "d")
    return old, new


def test_close_questions_of_a_session_are_one_need_where_the_policy_says_so(store, engine, policy, implicit):
    _, new = chain(store)
    assert rows_of(store, engine, policy, "reformulated") == []
    (row,) = rows_of(store, engine, implicit, "reformulated")
    assert (row["chunk_id"], row["direction"]) == ("d", 1)
    assert 0.2 < row["strength"] < 0.5
    assert new.retrieval_id in row["span_ids"]
    assert rows_of(store, engine, implicit, "pre_reformulation") == []


@pytest.mark.parametrize(
    "given", [{"click": False}, {"session": None}, {"gap_s": 3600}, {"cited_before": [1]}], ids=str
)
def test_otherwise_they_are_not(store, engine, implicit, given):
    chain(store, **given)
    assert rows_of(store, engine, implicit, "reformulated") == []


def test_a_session_without_end_is_looked_at_a_few_questions_at_a_time(store, engine, implicit):
    store.ask(ASKED[0], ["a"], session_id="s1")
    for place in range(5):
        store.ask(f"another question {place}", ["x"], session_id="s1")
    new = store.ask(ASKED[1], ["d"], session_id="s1")
    store.signal(new, "click", "d")
    assert rows_of(store, engine, implicit, "reformulated") == []


@pytest.mark.parametrize("named", ["the retrieval", "the turn"])
def test_a_reported_reformulation_needs_the_new_handle_alone(store, evidence, named):
    """``ragwheel.signal`` stores the id of what the handle names."""
    old = store.ask("log rotate", ["a"], session_id="s1", answer=None)
    new = store.ask("keeping files small", ["c", "d"], session_id="s1", answer=None)
    click = store.signal(new, "click", "d")
    other = new.retrieval_id if named == "the retrieval" else new.turn_id
    signal = store.signal(old, "reformulate", other=other)
    (row,) = evidence("reformulated")
    assert row["chunk_id"] == "d"
    assert {signal, click} <= set(row["span_ids"])


def test_a_chain_of_reformulations_leads_to_its_end(store, evidence):
    asked = [
        store.ask(query, [f"{n}a", f"{n}b"], session_id="s1", answer=None)
        for n, query in enumerate(("tidy", "small logs", "rotate files", "something else"))
    ]
    store.signal(asked[2], "click", "2b")
    for old, new in pairwise(asked):
        store.signal(old, "reformulate", other=new.retrieval_id)
    rows = evidence("reformulated")
    (clicked,) = evidence("click")
    assert {row["chunk_id"] for row in rows} == {"2b"}
    assert len({row["query_key"] for row in rows}) == len(rows) == 2
    assert clicked["query_key"] not in {row["query_key"] for row in rows}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Wie setze ich mein Passwort zurück?", "Passwort zurücksetzen"),
        ("Kündigungsfrist Vertrag", "Wie lange ist die Frist, um den Vertrag zu kündigen?"),
        ("Lieferzeit Schweiz", "Wie lange dauert die Lieferung in die Schweiz?"),
        ("mot de passe oublié", "j'ai oublié mes mots de passe"),
        ("cambiar contraseña", "cómo cambio mi contraseña"),
        ("сбросить пароль", "как сбросить пароли"),
        ("wachtwoord wijzigen", "hoe wijzig ik mijn wachtwoorden"),
    ],
)
def test_inflections_and_compounds_are_close_and_other_questions_are_not(policy, old, new):
    least = policy.reformulation.closeness
    assert Scorer()(old, new).score() >= least
    assert Scorer()(old, "Wo ist das Büro in Berlin?").score() < least
