"""From evidence to grades: what is believed, how surely, and when nothing is."""

from __future__ import annotations

import pytest

from ragwheel.errors import DatasetError
from ragwheel.labels import why
from ragwheel.labels.policy import load_policy
from ragwheel.labels.reasons import Seen

QUERY = "how do I rotate a log file?"


def test_one_subject_with_ten_thousand_clicks_counts_as_one(store, grades):
    asked = store.ask(QUERY, ["a", "b"], shown=[1, 2], answer=None)
    for n in range(10_000):
        store.signal(asked, "click", "a", subject="mallory", event_id=f"e{n}")
    store.signal(asked, "click", "b", subject="mallory")
    found = grades()
    assert found["a"]["n_evidence"] == 10_000
    assert found["a"]["belief"] == pytest.approx(1 / (1 + 2.718281828 ** -(-0.405465 + 1.1)), abs=1e-4)
    assert found["a"]["status"] == "abstain"


def test_signals_of_robots_are_no_evidence_unless_asked_for(store, grades, evidence, policy):
    asked = store.ask(QUERY, ["a", "b"], answer=None)
    store.signal(asked, "click", "a", subject="crawler", flags='["clock", "bot"]')
    store.signal(asked, "click", "b", subject="ann", flags='["botanical"]')
    assert set(grades()) == {"b"}
    assert {row["chunk_id"] for row in evidence()} == {"b"}


def test_one_subject_never_passes_the_cap_however_it_tries(store, grades, policy):
    asked = store.ask(QUERY, ["a"], shown=[1], answer=None)
    for kind in ("click", "copy", "bookmark", "thumbs_up", "more_like_this"):
        store.signal(asked, kind, "a", subject="mallory")
    store.signal(asked, "rating", "a", subject="mallory", value=5)
    log_odds = policy.grading.prior_log_odds + policy.grading.subject_cap
    assert 0.6 < grades()["a"]["belief"] <= 1 / (1 + 2.718281828**-log_odds)


def test_distinct_subjects_are_believed_more_up_to_the_channel(store, grades):
    few = store.ask(QUERY, ["few", "many"], shown=[1, 2], answer=None)
    for n in range(50):
        store.signal(few, "click", "many", subject=f"u{n}")
        if n < 2:
            store.signal(few, "click", "few", subject=f"u{n}")
    found = grades()
    assert found["few"]["belief"] < found["many"]["belief"] < 0.96
    assert found["many"]["status"] == "positive"


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
    assert found == {"a": "explicit_rejection", "b": "bounce", "c": None, "d": None}  # c: too little
    file = tmp_path / "bold.toml"
    file.write_text("[grading]\nnegative = 0.3\n")
    assert grades(load_policy(file))["c"]["strategy"] == "passed_over"


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


def test_why_tells_what_was_assumed_of_attention(store):
    for ranked in (["a", "b"], ["b", "a"], ["a", "b"]):
        asked = store.ask(QUERY, ranked, shown=[1, 2], cited=[1])
        store.signal(asked, "click", "a", subject="u1")
    (verdict,) = why(store.path, QUERY, "a")
    approx = pytest.approx
    seen = {reason.kind: reason.seen for reason in verdict.reasons}
    assert seen["click"] == (
        Seen(2, 1, "shown", assumed=True, attention=1.0, weight=1.1, model="default"),
        Seen(
            1,
            2,
            "shown",
            assumed=True,
            attention=approx(2**-0.5),
            weight=approx(1.1 * 2**0.5),
            model="default",
        ),
    )
    assert [(one.n, one.rank, one.model) for one in seen["cited"]] == [(2, 1, "")]


def test_why_says_where_the_label_model_weighs_by_rank_instead(store):
    for n in range(120):
        asked = store.ask(QUERY, ["a", "b"], shown=[1, 2], prompted=[1, 2], cited=[1], user_id=f"u{n}")
        store.signal(asked, "click", "a" if n % 3 else "b")
    (verdict,) = why(store.path, QUERY, "b")
    models = {reason.kind: {one.model for one in reason.seen} for reason in verdict.reasons}
    assert models == {"prompted_not_cited": {"label model"}, "click": {"default"}}, (
        "only citations say yes and no"
    )
