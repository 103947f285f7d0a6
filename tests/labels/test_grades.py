"""From evidence to grades: what is believed, how surely, and when nothing is."""

from __future__ import annotations

import math
import random

import pytest

from ragwheel.errors import DatasetError
from ragwheel.labels import why
from ragwheel.labels.policy import load_policy
from ragwheel.labels.reasons import EvidenceCount

QUERY = "how do I rotate a log file?"


def test_one_subject_with_ten_thousand_clicks_counts_as_one(store, grades, policy, fixed, expected):
    asked = store.ask(QUERY, ["a", "b"], shown=[1, 2], answer=None)
    store.signal(asked, "click", "a", subject="mallory", event_id="first")
    store.signal(asked, "click", "b", subject="mallory")
    once, once_fixed = grades(), grades(fixed())
    store._run("BEGIN")
    for n in range(9_999):
        store.signal(asked, "click", "a", subject="mallory", event_id=f"e{n}")
    store._run("COMMIT")
    often, often_fixed = grades(), grades(fixed())
    assert often["a"]["n_evidence"] == 10_000
    assert often["a"]["belief"] == once["a"]["belief"]
    assert (often["a"]["status"], often["b"]) == (once["a"]["status"], once["b"])
    click = policy.weights["click"]
    assert often_fixed["a"]["belief"] == once_fixed["a"]["belief"] == expected(1, click)
    assert often_fixed["b"]["belief"] == expected(2, click)


def test_signals_of_robots_are_no_evidence_unless_asked_for(store, grades, evidence, fixed, expected):
    asked = store.ask(QUERY, ["a", "b"], answer=None)
    store.signal(asked, "click", "a", subject="crawler", flags='["clock", "bot"]')
    store.signal(asked, "click", "b", subject="ann", flags='["botanical"]')
    assert {row["chunk_id"] for row in evidence("click")} == {"b"}
    without, with_them = grades(fixed()), grades(fixed(signals={"bots": True}))
    assert without["a"]["belief"] < expected(1).expected < with_them["a"]["belief"]
    assert without["b"]["belief"] == with_them["b"]["belief"]


def test_one_subject_never_passes_the_cap_however_it_tries(store, grades, policy, fixed, expected):
    asked = store.ask(QUERY, ["a"], shown=[1], answer=None)
    for kind in ("click", "copy", "bookmark", "thumbs_up", "more_like_this"):
        store.signal(asked, kind, "a", subject="mallory")
    store.signal(asked, "rating", "a", subject="mallory", value=5)
    belief = grades(fixed())["a"]["belief"]
    assert 0.6 < belief <= expected(1, policy.grading.subject_cap).expected + 1e-6


def test_distinct_subjects_are_believed_more_up_to_the_channel(store, grades, policy, fixed, expected):
    few = store.ask(QUERY, ["few", "many"], shown=[1, 2], answer=None)
    for n in range(50):
        store.signal(few, "click", "many", subject=f"u{n}")
        if n < 2:
            store.signal(few, "click", "few", subject=f"u{n}")
    found = grades()
    assert found["few"]["belief"] < found["many"]["belief"]
    assert found["many"]["status"] == "positive"
    free = grades(fixed())
    assert free["few"]["belief"] < free["many"]["belief"]
    assert free["many"]["belief"] <= expected(2, policy.channels["opening"]).expected + 1e-6
    tight = dict.fromkeys(("opening", "reading", "explicit"), 0.5)  # what people do and say, together
    bounded = fixed().model_copy(update={"channels": policy.channels | tight})
    assert grades(bounded)["many"]["belief"] == expected(2, 0.5)


def test_contradictory_words_abstain(store, grades):
    asked = store.ask(QUERY, ["a"], shown=[1], cited=[1])
    store.signal(asked, "delete", "a", subject="u1")
    found = grades()["a"]
    assert (found["status"], found["reason"]) == ("abstain", "the evidence contradicts itself")
    assert 0.2 < found["confidence"] < 0.8


def test_opposite_votes_of_one_channel_are_a_contradiction_and_not_too_little(store, grades):
    asked = store.ask(QUERY, ["touched", "split", "praised"], answer=None)
    for n in range(20):
        store.signal(asked, "thumbs_up", "split", subject=f"u{n}")
        store.signal(asked, "thumbs_down", "split", subject=f"v{n}")
        store.signal(asked, "thumbs_up", "praised", subject=f"u{n}")
    store.signal(asked, "thumbs_down", "praised", subject="v1")
    store.signal(asked, "click", "touched", subject="u1")
    found = {chunk: (row["status"], row["reason"]) for chunk, row in grades().items()}
    assert found == {
        "split": ("abstain", "opposite votes cancel each other"),
        "praised": ("positive", ""),  # one voice against twenty is no contradiction
        "touched": ("abstain", "too little evidence"),
    }


def test_a_citation_that_people_reject_is_no_positive(store, grades):
    asked = store.ask(QUERY, ["a"], shown=[1], cited=[1])
    for n in range(9):
        store.signal(asked, "thumbs_down", "a", subject=f"u{n}")
    found = grades()["a"]
    assert found["status"] != "positive"


def test_a_persons_judgment_outranks_everything(store, grades):
    asked = store.ask(QUERY, ["a", "b", "c"], prompted=[1, 2, 3], shown=[1, 2, 3], cited=[1])
    for n in range(20):
        store.signal(asked, "click", "a", subject=f"u{n}")
    for chunk, grade in (("a", 0), ("b", 5), ("c", 2)):
        store.judge(QUERY.upper(), chunk, grade)
    found = {chunk: (row["status"], row["grade"], row["strategy"]) for chunk, row in grades().items()}
    assert found == {
        "a": ("negative", 0.0, "judged"),
        "b": ("positive", 5.0, None),
        "c": ("middle", 2.0, None),
    }


def test_people_who_disagree_make_it_abstain(store, grades):
    store.ask(QUERY, ["a", "b"])
    for chunk, values in (("a", (0, 5)), ("b", (4, 5))):
        for judge, grade in zip(("ann", "bob"), values):
            store.judge(QUERY, chunk, grade, judge=judge)
    found = grades()
    assert (found["a"]["status"], found["a"]["reason"]) == ("abstain", "people disagree")
    assert (found["b"]["status"], found["b"]["grade"]) == ("positive", 4.5)


def test_an_llm_judge_is_a_voice_among_others(store, grades):
    store.ask(QUERY, ["a", "b", "c"])
    store.judge(QUERY, "a", 5, judge="robot", human=False)
    for judge, chunks in (("robot", "bc"), ("another", "c")):
        for chunk in chunks:
            store.judge(QUERY, chunk, 0, judge=judge, human=False)
    found = grades()
    assert [found[chunk]["status"] for chunk in "abc"] == ["positive", "abstain", "negative"]
    assert 0.7 < found["a"]["confidence"] < 0.9
    assert found["c"]["strategy"] == "judged"


def test_negatives_are_named_by_their_most_trusted_evidence(store, grades, tmp_path):
    asked = store.ask(QUERY, list("abcd"), prompted=[1, 2, 3, 4], shown=[1, 2, 3, 4], cited=[4])
    store.signal(asked, "click", "d")
    store.signal(asked, "delete", "a")
    store.signal(asked, "click", "b")
    store.signal(asked, "dwell", "b", value=0.5)
    found = {chunk: row["strategy"] for chunk, row in grades().items()}
    # c was left out by the answer and by the person
    assert found == {"a": "explicit_rejection", "b": "bounce", "c": "passed_over", "d": None}
    file = tmp_path / "careful.toml"
    file.write_text("[grading]\nleast_against = 1.5\n")
    careful = grades(load_policy(file))["c"]
    assert (careful["status"], careful["reason"]) == ("abstain", "too little evidence")


def test_a_click_with_an_immediate_return_is_against(store, grades, fixed, expected):
    asked = store.ask(QUERY, ["a", "b"], shown=[1, 2], answer=None)
    for chunk, seconds in (("a", 0.5), ("b", 60)):
        store.signal(asked, "click", chunk)
        store.signal(asked, "dwell", chunk, value=seconds)
    found = grades(fixed())
    assert found["a"]["belief"] < expected(1).expected
    assert found["b"]["belief"] > expected(2).expected


def test_rows_are_as_precise_as_the_policy_asks_where_that_can_be_had(store, grades, fixed):
    busy(store)
    for precision in (0.8, 0.95, 0.99):
        found = grades(
            fixed(
                grading={"precision_of_positives": precision, "least_positive": 0.5, "sure_positive": 0.999}
            )
        ).values()
        positives = [row["belief"] for row in found if row["status"] == "positive"]
        others = [row["belief"] for row in found if row["status"] == "abstain"]
        assert sum(positives) / len(positives) >= precision - 0.002
        assert all(belief <= min(positives) for belief in others)


def test_confidence_is_how_sure_the_status_is(store, grades):
    busy(store)
    for row in grades().values():
        sure = row["belief"] if row["status"] == "positive" else 1 - row["belief"]
        if row["status"] != "abstain":
            assert row["confidence"] == pytest.approx(sure, abs=1e-6)
        assert row["grade"] == pytest.approx(5 * row["belief"], abs=1e-3)


def test_min_subjects_and_other_rules_can_be_changed(store, grades, tmp_path):
    asked = store.ask(QUERY, ["a"], cited=[1], user_id="u1")
    store.signal(asked, "click", "a", subject="u1")
    file = tmp_path / "strict.toml"
    file.write_text("[grading]\nmin_subjects = 2\n")
    assert grades()["a"]["status"] == "positive"
    strict = grades(load_policy(file))["a"]
    assert (strict["status"], strict["reason"]) == ("abstain", "too few subjects")


def test_scores_are_placed_between_worst_and_best_whichever_way_they_go(store, grades):
    store.ask(QUERY, ["a", "b", "c"], cited=[1], scores=[9.0, 7.0, 5.0])
    store.ask("another", ["d", "e", "f"], cited=[1], scores=[0.1, 0.2, 0.5])
    found = grades()
    assert [found[chunk]["closeness"] for chunk in "abc"] == [1_000_000, 500_000, 0]
    assert [found[chunk]["closeness"] for chunk in "def"] == [1_000_000, 750_000, 0]


def test_why_tells_the_reasons_and_their_spans(store):
    asked = store.ask(QUERY, ["a", "b"], prompted=[1, 2], cited=[1], user_id="u1")
    click = store.signal(asked, "click", "a", subject="u2")
    (verdict,) = why(store.path, QUERY.upper(), "a")
    assert (verdict.status, verdict.source) == ("positive", "kb")
    assert [reason.text for reason in verdict.reasons] == [
        "cited in the answer once at rank 1",
        "clicked once at rank 1",
    ]
    assert {span for reason in verdict.reasons for span in reason.span_ids} == {*asked, click}
    with pytest.raises(DatasetError, match=r"no evidence on chunk 'zzz'.*ragwheel show --db .* --list"):
        why(store.path, QUERY, "zzz")


def test_why_tells_where_the_chunk_was_and_what_that_says(store, fixed, policy):
    for ranked in (["a", "b"], ["b", "a"], ["a", "b"]):
        asked = store.ask(QUERY, ranked, shown=[1, 2], cited=[1])
        store.signal(asked, "click", "a", subject="u1")
    (verdict,) = why(store.path, QUERY, "a", policy=fixed())
    approx = pytest.approx
    weight = policy.weights["click"]
    seen = {reason.kind: reason.seen for reason in verdict.reasons}
    assert seen["click"] == (
        EvidenceCount(2, 1, "shown", assumed=True, weight=approx(weight), log_odds=approx(2 * weight)),
        EvidenceCount(1, 2, "shown", assumed=True, weight=approx(weight), log_odds=approx(weight)),
    )
    assert [(row.n, row.rank) for row in seen["cited"]] == [(2, 1)]


def busy(store):
    """A store with every channel, in which people and the LLM often but not always agree."""
    rng = random.Random(7)
    for n in range(90):
        query, right = f"question {n % 15}", f"q{n % 15}c{n % 2}"
        chunks = [f"q{n % 15}c{place}" for place in range(5)]
        cited = chunks.index(right) + 1 if rng.random() < 0.8 else rng.randint(1, 5)
        asked = store.ask(
            query,
            chunks,
            prompted=[1, 2, 3, 4, 5],
            shown=[1, 2, 3, 4, 5],
            cited=[cited],
            user_id=f"u{n % 30}",
        )
        for chunk in chunks:
            if rng.random() < (0.6 if chunk == right else 0.1):
                store.signal(asked, "click", chunk)
                store.signal(asked, "dwell", chunk, value=rng.lognormvariate(2 if chunk == right else 1, 1))
            if rng.random() < 0.05:
                store.signal(asked, "thumbs_up" if chunk == right else "delete", chunk)
    for n in range(15):
        store.judge(f"question {n}", f"q{n}c2", rng.choice((0, 1, 4)), judge="robot", human=False)


def test_the_parts_of_why_add_up_to_the_belief(store, grades):
    busy(store)
    beliefs = {chunk: row["belief"] for chunk, row in grades().items()}
    kinds = set()
    for chunk in ("q0c0", "q0c1", "q0c2", "q3c4", "q7c1"):
        (verdict,) = why(store.path, f"question {chunk[1]}", chunk)
        kinds |= {reason.kind for reason in verdict.reasons}
        assert verdict.belief == beliefs[chunk]
        parts = sum(reason.log_odds for reason in verdict.reasons) + sum(verdict.corrections.values())
        assert verdict.prior + parts == pytest.approx(verdict.log_odds, abs=0.01)
        assert verdict.belief == pytest.approx(1 / (1 + math.exp(-verdict.log_odds)), abs=0.001)
        assert verdict.grade == pytest.approx(5 * verdict.belief, abs=0.001)
        for reason in verdict.reasons:
            assert reason.log_odds * reason.direction >= -1e-9 or reason.kind in (
                "dwell",
                "bounce",
                "judged_llm",
            )
            assert sum(seen.n for seen in reason.seen) == reason.n
    assert {"cited", "prompted_not_cited", "click", "passed_over", "dwell", "judged_llm"} <= kinds


def test_why_says_what_was_learned_beside_the_priors_it_came_from(store, policy):
    busy(store)
    (verdict,) = why(store.path, "question 0", "q0c0")
    described = verdict.model.describe()
    assert described["citation"]["prior_log_likelihood_ratio"] == policy.weights["cited"]
    assert described["opening"]["prior_log_likelihood_ratio"] == policy.weights["click"]
    assert 0 < described["citation"]["learned_share"] < 1
    weights = {(reason.kind, seen.weight) for reason in verdict.reasons for seen in reason.seen}
    learned = {(kind, weight) for (kind, _band), weight in verdict.model.weights.items()}
    assert {
        (kind, weight) for kind, weight in weights if kind in ("cited", "click", "passed_over")
    } <= learned
