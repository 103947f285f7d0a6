"""Input that no app should send and some will: each has its defined result, and a build that counts it."""

from __future__ import annotations

import pytest

from ragwheel.datasets import BuildOptions, build

QUERY = "how do I rotate a log file?"
ALL = BuildOptions(dev=0, test=0)


def test_contradictory_signals_abstain_and_are_counted(store, tmp_path):
    asked = store.ask(QUERY, ["a", "b"], shown=[1, 2], prompted=[1, 2], cited=[2])
    store.signal(asked, "thumbs_up", "a", subject="u1")
    store.signal(asked, "thumbs_down", "a", subject="u2")
    report = build(store.path, tmp_path / "out", options=ALL)
    assert report.grades["abstain"] == 1
    assert report.dropped["grade: abstained, opposite votes cancel each other"] == 1


def test_a_session_that_never_ends_is_one_subject(store, grades, policy, fixed, expected):
    for n in range(60):
        store.ask(QUERY, ["a", "b"], prompted=[1, 2], cited=[1], session_id="forever")
        store.ask(f"something else {n}", ["c"], session_id="forever")
    found = grades()["a"]
    assert (found["n_evidence"], found["n_subjects"]) == (60, 1)
    alone = grades(fixed())["a"]["belief"]
    assert alone <= expected(1, policy.channels["citation"]).expected + 1e-6, "one instrument has a bound"
    strict = grades(fixed(grading={"min_subjects": 2}))["a"]
    assert (strict["status"], strict["reason"]) == ("abstain", "too few subjects")


def test_reused_ids_are_versions_and_evidence_stays_with_the_version_it_saw(store, grades):
    store.chunk("a", "rotate the log with logrotate")
    store.ask(QUERY, ["a"], cited=[1])
    store.chunk("a", "a recipe for onion soup")
    asked = store.ask(QUERY, ["a"], shown=[1], answer=None)
    store.signal(asked, "delete", "a", subject="u1")
    versions = grades(by="chunk_version")
    assert sorted(row["status"] for row in versions.values()) == ["negative", "positive"]


@pytest.mark.parametrize("answer", ["", "   "])
def test_an_empty_answer_says_nothing(store, evidence, answer):
    store.ask(QUERY, ["a", "b"], prompted=[1, 2], answer=answer)
    assert evidence() == []


def test_a_chunk_without_text_makes_no_row_and_is_counted(store, tmp_path):
    store.chunk("a", "")
    store.ask(QUERY, ["a", "b"], prompted=[1, 2], cited=[1, 2])
    for chunk in "ab":
        store.judge(QUERY, chunk, 5)
    report = build(store.path, tmp_path / "out", options=ALL)
    assert report.rows["pairs"]["train"] == 1
    assert report.dropped["chunk: it has no text"] == 1


def test_a_retrieval_without_a_query_is_counted(store, tmp_path):
    """As when spans were exported without their content."""
    store.ask("", ["a", "b"], prompted=[1, 2], cited=[1])
    for _ in range(3):
        store.ask(QUERY, ["a", "b"], prompted=[1, 2], cited=[1, 2])
    report = build(store.path, tmp_path / "out", options=ALL)
    assert report.rows["pairs"]["train"] == 2
    assert report.dropped["retrieval: its query has no text"] == 1


def test_ten_thousand_clicks_of_one_subject_make_the_rows_of_one(store, tmp_path):
    store.ask("what is tea?", ["c"], cited=[1])
    asked = store.ask(QUERY, ["a", "b"], answer=None)
    store.signal(asked, "click", "b", subject="mallory", event_id="first")
    once = build(store.path, tmp_path / "once", options=ALL)
    store._run("BEGIN")
    for n in range(9_999):
        store.signal(asked, "click", "b", subject="mallory", event_id=f"e{n}")
    store._run("COMMIT")
    often = build(store.path, tmp_path / "often", options=ALL)
    assert (once.evidence["click"], often.evidence["click"]) == (1, 10_000)
    assert often.rows == once.rows
    assert often.grades == once.grades


@pytest.mark.parametrize(
    "query",
    [
        "ログファイルを回転する方法は?",
        "如何轮换日志文件？",
        "как ротировать журнал?",
        "لوگ فائل",
        "كيف أُدوّر السجل؟",
        "หมุนไฟล์บันทึกอย่างไร",
        "🙂",
        "\U0001f469\U0001f3fd\u200d\U0001f4bb",
        "ß",
    ],
)
def test_queries_in_other_scripts_are_labelled_like_any(store, grades, query):
    asked = store.ask(query, ["a", "b"], prompted=[1, 2], cited=[1], shown=[1, 2])
    store.signal(asked, "delete", "b", subject="u1")
    assert {chunk: row["status"] for chunk, row in grades().items()} == {"a": "positive", "b": "negative"}


def test_clocks_that_run_backwards_lose_no_signal(store, grades):
    asked = store.ask(QUERY, ["a", "b"], prompted=[1, 2], cited=[1])
    store.now_ns -= 10**15
    store.signal(asked, "delete", "b", subject="u1")
    store.now_ns = 0
    later = store.ask(QUERY, ["a"], cited=[1], user_id="u9")
    store.signal(later, "click", "a")
    found = grades()
    assert (found["a"]["status"], found["b"]["status"]) == ("positive", "negative")


def test_a_reformulation_that_came_before_its_question_links_nothing(store, evidence):
    new = store.ask("rotate log with logrotate", ["good"], shown=[1], session_id="s")
    old = store.ask(QUERY, ["x"], shown=[1], session_id="s")
    store.signal(new, "click", "good", subject="u")
    store.signal(old, "reformulate", query="rotate log with logrotate")
    assert not {"reformulated", "pre_reformulation"} & {row["kind"] for row in evidence()}
