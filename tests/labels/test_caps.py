"""How much one person's word can weigh, over one chunk and over all chunks of a question."""

from __future__ import annotations

import pytest

from ragwheel.labels import why

QUERY = "how do I rotate a log file?"
CHUNKS = [f"c{n}" for n in range(10)]


def test_who_praises_everything_has_as_much_to_give_as_who_praises_one(
    store, grades, policy, fixed, expected
):
    one = store.ask(QUERY, [*CHUNKS, "only"], answer=None)
    store.signal(one, "thumbs_up", "only", subject="ann")
    for chunk in CHUNKS:
        store.signal(one, "thumbs_up", chunk, subject="mallory")
    bounded, free = grades(fixed(grading={"subject_query_cap": 1.0})), grades(fixed())
    for rank, chunk in enumerate([*CHUNKS, "only"], 1):
        assert bounded[chunk]["belief"] == expected(rank, 1.0 if chunk == "only" else 0.1)
        whole = policy.weights["thumbs_up"]
        assert free[chunk]["belief"] == expected(rank, whole), "the packaged policy has no such bound"


def test_praise_and_blame_are_bounded_apart(store, grades, fixed, expected):
    asked = store.ask(QUERY, CHUNKS, answer=None)
    store.signal(asked, "thumbs_up", "c0", subject="ann")
    for chunk in CHUNKS[1:]:
        store.signal(asked, "delete", chunk, subject="ann")
    found = grades(fixed(grading={"subject_query_cap": 1.0}))
    assert found["c0"]["belief"] == expected(1, 1.0)
    assert found["c1"]["belief"] == expected(2, -1 / 9)


@pytest.mark.parametrize("cap", [0.5, 1.0, 3.0])
def test_nobody_moves_a_chunk_further_than_the_cap(store, grades, fixed, expected, cap):
    asked = store.ask(QUERY, CHUNKS, answer=None)
    for kind in ("click", "copy", "bookmark", "thumbs_up"):
        store.signal(asked, kind, "c0", subject="mallory")
    for kind in ("delete", "thumbs_down"):
        store.signal(asked, kind, "c1", subject="mallory")
    found = grades(fixed(grading={"subject_cap": cap}))
    assert expected(1).expected < found["c0"]["belief"] <= expected(1, cap).expected + 1e-6
    assert expected(2).expected > found["c1"]["belief"] >= expected(2, -cap).expected - 1e-6


def test_what_the_llm_cited_is_not_the_word_of_who_asked(store, grades, fixed):
    store.ask(QUERY, CHUNKS, prompted=[1, 2, 3], cited=[1, 2, 3], user_id="ann")
    tight = fixed(grading={"subject_query_cap": 0.1})
    assert {c: row["belief"] for c, row in grades(tight).items()} == {
        c: row["belief"] for c, row in grades(fixed()).items()
    }


def test_one_person_who_asks_again_and_again_is_cited_to_once(store, grades, fixed, expected, policy):
    for _repeat in range(6):
        store.ask(QUERY, CHUNKS, prompted=[1, 2], cited=[2], user_id="ann")
    others = [f"other {chunk}" for chunk in CHUNKS]
    for person in range(6):
        store.ask("another question", others, prompted=[1, 2], cited=[2], user_id=f"u{person}")
    rows, most = grades(fixed()), max(policy.grading.subject_cap, policy.weights["cited"])
    assert expected(2).expected < rows["c1"]["belief"] <= expected(2, most).expected + 1e-6
    assert rows["other c1"]["belief"] > rows["c1"]["belief"], "six people are more than one, six times"
    assert rows["other c0"]["belief"] < rows["c0"]["belief"], "so they are about what the answers left out"


def test_no_number_of_repeats_is_certainty(store, grades, fixed, policy):
    for person in range(60):
        asked = store.ask(QUERY, CHUNKS, prompted=[1, 2], shown=[1, 2], cited=[1], user_id=f"u{person}")
        store.signal(asked, "thumbs_up", "c0", subject=f"u{person}")
        store.signal(asked, "thumbs_down", "c1", subject=f"u{person}")
    rows, certain = grades(fixed()), policy.grading.certain
    assert rows["c0"]["belief"] == pytest.approx(certain, abs=1e-6)
    assert rows["c1"]["belief"] == pytest.approx(1 - certain, abs=1e-6)
    (verdict,) = why(store.path, QUERY, "c0", policy=fixed())
    parts = [verdict.prior, *(reason.log_odds for reason in verdict.reasons), *verdict.corrections.values()]
    assert verdict.log_odds == pytest.approx(sum(parts), abs=0.01)
    assert verdict.corrections["certainty"] < 0


def test_an_empty_answer_left_nothing_out(store, grades, fixed):
    store.ask(QUERY, CHUNKS, prompted=[1, 2], cited=[1], user_id="ann")
    before = grades(fixed())
    for answer in ("", " \n"):
        store.ask(QUERY, CHUNKS, prompted=[1, 2], answer=answer, user_id="bob")
    after = grades(fixed())
    assert {chunk: row["belief"] for chunk, row in after.items()} == {
        chunk: row["belief"] for chunk, row in before.items()
    }
    store.ask(QUERY, CHUNKS, prompted=[1, 2], answer="An answer.", user_id="bob")
    assert grades(fixed())["c1"]["belief"] < before["c1"]["belief"]
