"""How much one person's word can weigh, over one chunk and over all chunks of a question."""

from __future__ import annotations

import pytest

QUERY = "how do I rotate a log file?"
CHUNKS = [f"c{n}" for n in range(10)]


def capped(policy, **rules):
    return policy.model_copy(update={"grading": policy.grading.model_copy(update=rules)})


def test_who_praises_everything_has_as_much_to_give_as_who_praises_one(store, grades, policy):
    one = store.ask(QUERY, [*CHUNKS, "only"], answer=None)
    store.signal(one, "thumbs_up", "only", subject="ann")
    for chunk in CHUNKS:
        store.signal(one, "thumbs_up", chunk, subject="mallory")
    prior = policy.grading.prior_log_odds
    found = grades(capped(policy, subject_query_cap=1.0))
    for chunk, log_odds in {"only": 1.0, **dict.fromkeys(CHUNKS, 0.1)}.items():
        assert found[chunk]["belief"] == pytest.approx(1 / (1 + 2.718281828 ** -(prior + log_odds)), abs=1e-4)
    assert grades()["c0"]["belief"] == grades()["only"]["belief"], "the packaged policy has no such bound"


def test_praise_and_blame_are_bounded_apart(store, grades, policy):
    asked = store.ask(QUERY, CHUNKS, answer=None)
    store.signal(asked, "thumbs_up", "c0", subject="ann")
    for chunk in CHUNKS[1:]:
        store.signal(asked, "delete", chunk, subject="ann")
    found = grades(capped(policy, subject_query_cap=1.0))
    alone = 1 / (1 + 2.718281828 ** -(policy.grading.prior_log_odds + 1.0))
    assert found["c0"]["belief"] == pytest.approx(alone, abs=1e-4)


def test_what_the_llm_cited_is_not_the_word_of_who_asked(store, grades, policy):
    store.ask(QUERY, CHUNKS, prompted=[1, 2, 3], cited=[1, 2, 3], user_id="ann")
    tight = capped(policy, subject_query_cap=0.1)
    assert {c: row["belief"] for c, row in grades(tight).items()} == {
        c: row["belief"] for c, row in grades().items()
    }
