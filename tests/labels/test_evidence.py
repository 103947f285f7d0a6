"""Every rule of the evidence table, and above all what each must not say."""

from __future__ import annotations

import pytest

from ragwheel.handles import Target, make

QUERY = "how do I rotate a log file?"


def said(rows):
    return {row["chunk_id"]: row["direction"] for row in rows}


def test_cited_is_for_the_chunk_with_the_spans_that_say_so(store, evidence):
    asked = store.ask(QUERY, ["a", "b"], cited=[2], user_id="u1", session_id="s1")
    (row,) = evidence("cited")
    assert (row["chunk_id"], row["source"], row["direction"], row["strength"]) == ("b", "kb", 1, 1.0)
    assert (row["rank"], row["subject"], row["turn_id"]) == (2, "u1", asked.turn_id)
    assert set(row["span_ids"]) == {asked.turn_id, asked.retrieval_id}


@pytest.mark.parametrize(
    ("kind", "value", "factor"),
    [
        ("thumbs_up", None, 1.3),
        ("rating", 5, 1.3),
        ("convert", 99, 1.2),
        ("abandon", None, 0.8),
        ("rating", 1, 0.3),
    ],
)
def test_what_is_said_about_the_answer_only_scales_its_citations(store, evidence, kind, value, factor):
    asked = store.ask(QUERY, ["a", "b"], cited=[1], prompted=[1, 2])
    for _ in range(3):  # said three times is said once
        store.signal(asked, kind, value=value, of_answer=True)
    rows = evidence()
    assert {row["kind"] for row in rows} <= {"cited", "prompted_not_cited"}
    assert [row["strength"] for row in rows if row["kind"] == "cited"] == [pytest.approx(factor)]


@pytest.mark.parametrize("kind", ["click", "copy", "expand", "bookmark", "more_like_this"])
def test_attention_is_for_the_chunk_at_the_place_where_it_was_displayed(store, evidence, kind):
    asked = store.ask(QUERY, ["a", "b", "c", "d"], shown=[4, 3, 2, 1])
    for chunk in "ad":
        store.signal(asked, kind, chunk)
    rows = {row["chunk_id"]: row for row in evidence(kind)}
    assert (rows["d"]["rank"], rows["d"]["place"]) == (4, 1)
    assert (rows["a"]["rank"], rows["a"]["place"]) == (1, 4)
    assert rows["a"]["direction"] == 1


def test_dwell_is_the_longest_time_that_was_reported_in_seconds(store, evidence):
    store.chunk("long", "word " * 200)
    asked = store.ask(QUERY, ["long", "short"], shown=[1, 2])
    store.signal(asked, "dwell", "long", value=4)
    store.signal(asked, "dwell", "long", value=15)  # reported as it grows: the longest counts
    store.signal(asked, "dwell", "short", value=900)
    rows = {row["chunk_id"]: row["strength"] for row in evidence("dwell")}
    assert rows == {"long": 15.0, "short": 900.0}, "two readings do not show that longer texts take longer"


def test_where_longer_texts_take_longer_the_seconds_are_those_of_a_text_of_average_length(store, evidence):
    for n in range(60):
        words = 20 * (1 + n % 6)
        store.chunk(f"c{n}", " ".join(f"w{n}x{word}" for word in range(words)))
        asked = store.ask(f"question {n}", [f"c{n}"], shown=[1])
        store.signal(asked, "dwell", f"c{n}", value=words / 4)
    seconds = [row["strength"] for row in evidence("dwell")]
    assert max(seconds) / min(seconds) < 1.5, "all read as thoroughly; the times themselves differ sixfold"


def test_what_nobody_opened_has_to_be_seen_for_long_to_be_read(store, evidence):
    asked = store.ask(QUERY, ["a", "b"], shown=[1, 2])
    store.signal(asked, "dwell", "a", value=1.0)  # a card that scrolled by
    store.signal(asked, "dwell", "b", value=20.0)
    assert {row["kind"]: row["chunk_id"] for row in evidence()} == {"dwell": "b"}


def test_click_then_back_at_once_is_against_and_not_for(store, evidence):
    asked = store.ask(QUERY, ["a", "b"], shown=[1, 2])
    for chunk, seconds in (("a", 1.0), ("b", 20.0)):
        store.signal(asked, "click", chunk)
        store.signal(asked, "dwell", chunk, value=seconds)
    rows = evidence()
    assert said(row for row in rows if row["kind"] == "bounce") == {"a": -1}
    assert said(row for row in rows if row["kind"] == "dwell") == {"b": 1}
    assert said(row for row in rows if row["kind"] == "click") == {"a": 1, "b": 1}


def test_a_click_without_a_dwell_from_the_client_is_no_bounce(store, evidence):
    asked = store.ask(QUERY, ["a"], shown=[1])
    store.signal(asked, "click", "a")
    assert [row["kind"] for row in evidence()] == ["click"]


def test_a_short_dwell_that_was_reported_before_the_click_is_no_bounce(store, evidence):
    asked = store.ask(QUERY, ["a", "b"], shown=[1, 2])
    store.signal(asked, "dwell", "a", value=1.0)  # the tab was hidden, and came back
    store.signal(asked, "click", "a")
    store.signal(asked, "dwell", "b", value=1.0)
    store.signal(asked, "click", "b")
    store.signal(asked, "dwell", "b", value=1.2)
    rows = evidence()
    assert said(row for row in rows if row["kind"] == "bounce") == {"b": -1}
    assert said(row for row in rows if row["kind"] == "click") == {"a": 1, "b": 1}


def test_explicit_words_about_chunks(store, evidence):
    asked = store.ask(QUERY, list("abcdefg"), shown=range(1, 8))
    for kind, chunk, value in [
        ("thumbs_up", "a", None), ("rating", "b", 4), ("rating", "c", 3), ("rating", "d", 1),
        ("delete", "e", None), ("thumbs_down", "f", None),
    ]:  # fmt: skip
        store.signal(asked, kind, chunk, value=value)
    store.signal(asked, "prefer", "a", other="g")
    rows = [row for row in evidence() if row["kind"] != "passed_over"]
    assert {(row["kind"], row["chunk_id"], row["direction"]) for row in rows} == {
        ("thumbs_up", "a", 1), ("rating_high", "b", 1), ("rating_low", "d", -1), ("delete", "e", -1),
        ("thumbs_down", "f", -1), ("prefer_winner", "a", 1), ("prefer_loser", "g", -1),
    }  # fmt: skip


def test_passed_over_is_what_was_shown_and_not_opened(store, evidence):
    asked = store.ask(QUERY, list("abcde"), shown=[1, 2, 3, 4], cited=[2])
    store.signal(asked, "click", "c")
    rows = evidence("passed_over")
    assert said(rows) == {"a": -1, "b": -1, "d": -1}  # e was not shown
    assert {(row["place"], row["strength"], row["assumed"]) for row in rows} == {
        (1, 1.0, False), (2, 1.0, False), (4, 1.0, False),
    }  # fmt: skip


def test_without_shown_what_the_app_got_is_assumed_to_have_been_seen(store, evidence):
    asked = store.ask(QUERY, list("abcd"), returned=3)
    store.signal(asked, "click", "c")
    rows = evidence("passed_over")
    assert said(rows) == {"a": -1, "b": -1}, "d was only logged"
    assert all(row["assumed"] for row in rows)


def test_what_somebody_said_something_about_was_not_passed_over(store, evidence):
    asked = store.ask(QUERY, list("abcd"), shown=[1, 2, 3, 4])
    store.signal(asked, "click", "d")
    store.signal(asked, "thumbs_up", "a")
    store.signal(asked, "dwell", "b", value=20.0)
    assert said(evidence("passed_over")) == {"c": -1}


def test_silence_of_people_who_never_react_says_nothing_and_that_of_others_counts(store, evidence):
    for person, clicks in (("clicker", 8), ("reader", 0)):
        for n in range(10):
            asked = store.ask(f"question {person} {n}", ["a", "b"], shown=[1, 2], user_id=person)
            if n < clicks:
                store.signal(asked, "click", "b")
    rows = [row for row in evidence("passed_over") if row["chunk_id"] == "a"]
    weights = {
        person: {row["strength"] for row in rows if row["subject"] == person}
        for person in ("clicker", "reader")
    }
    assert weights["clicker"] == {1}, "also where nothing was clicked"
    assert max(weights["reader"]) < 0.05


def test_where_nobody_ever_clicked_or_cited_nothing_was_passed_over(store, evidence):
    for n in range(5):
        store.ask(f"question {n}", ["a", "b"], shown=[1, 2], prompted=[1, 2])
    assert evidence() == []


def test_an_impression_counts_as_shown(store, evidence):
    asked = store.ask(QUERY, list("abc"))
    store.signal(asked, "impression", "a")
    store.signal(asked, "click", "c")
    assert said(evidence("passed_over")) == {"a": -1}


def test_prompted_and_not_cited(store, evidence):
    store.ask(QUERY, list("abcd"), prompted=[1, 2, 3], cited=[1])
    rows = evidence("prompted_not_cited")
    assert said(rows) == {"b": -1, "c": -1}
    assert {row["strength"] for row in rows} == {1.0}


def test_without_prompted_the_returned_chunks_are_assumed_and_weigh_less(
    store, evidence, grades, policy, fixed, expected
):
    store.ask(QUERY, list("abcd"), returned=3, cited=[1])
    rows = evidence("prompted_not_cited")
    assert said(rows) == {"b": -1, "c": -1}
    assert all(row["assumed"] for row in rows)
    weight = policy.weights["prompted_not_cited"] * policy.exposure.assumed_factor
    assert grades(fixed())["b"]["belief"] == expected(2, -weight)


def test_prompted_and_not_cited_is_by_place_in_the_prompt(store, evidence):
    store.ask(QUERY, list("abc"), prompted=[3, 1, 2], cited=[1])
    assert {row["chunk_id"]: row["place"] for row in evidence("prompted_not_cited")} == {"b": 3, "c": 1}


def test_an_answer_without_citations_leaves_its_chunks_out_like_others(store, evidence):
    for n in range(10):
        store.ask(f"question {n}", list("ab"), prompted=[1, 2], cited=[1] if n < 6 else [])
    strengths = [row["strength"] for row in evidence("prompted_not_cited") if row["chunk_id"] == "a"]
    assert strengths == [1, 1, 1, 1]


def test_prompted_not_cited_needs_an_answer_that_was_not_disliked(store, evidence):
    store.ask(QUERY, list("ab"), prompted=[1, 2], answer=None)
    disliked = store.ask(QUERY, list("ab"), prompted=[1, 2], cited=[1])
    store.signal(disliked, "thumbs_down", of_answer=True)
    assert evidence("prompted_not_cited") == []


def test_a_near_copy_of_a_cited_chunk_is_unknown(store, evidence):
    words = [f"w{n}" for n in range(30)]
    store.chunk("cited", " ".join(words))
    store.chunk("copy", " ".join([*words[:-1], "other"]))
    store.chunk("half", " ".join([*words[:15], *(f"x{n}" for n in range(15))]))
    store.ask(QUERY, ["cited", "copy", "half"], prompted=[1, 2, 3], cited=[1])
    assert said(evidence("prompted_not_cited")) == {"half": -1}


def test_chunks_that_nobody_saw_are_never_negative(store, evidence):
    asked = store.ask(QUERY, list("abcdef"), returned=2, cited=[1])
    store.signal(asked, "click", "b")
    store.signal(asked, "delete", "e")  # beyond what the app got: cannot have been on a screen
    store.signal(asked, "prefer", "b", other="f")
    rows = evidence()
    assert {row["chunk_id"] for row in rows if row["exposure"] in ("logged", "returned")} <= {"e"}
    assert [row for row in rows if row["direction"] < 0 and row["exposure"] in ("logged", "returned")] == []


def test_chunks_of_a_retriever_inside_another_stay_logged(store, evidence):
    turn = store.ask(QUERY, ["a", "b"], cited=[1])
    store.retrieve(
        QUERY, ["c", "d"], turn_id=bytes.fromhex(turn.turn_id), outer_id=bytes.fromhex(turn.retrieval_id)
    )
    assert {row["chunk_id"] for row in evidence()} == {"a", "b"}


def test_returned_without_an_answer_says_nothing(store, evidence):
    store.retrieve(QUERY, ["a", "b"])
    assert evidence() == []


def test_a_signal_that_matches_nothing_is_no_evidence(store, evidence):
    asked = store.ask(QUERY, ["a"], shown=[1])
    store.signal(asked, "click", "unknown")
    store.signal("ffffffffffffffff", "click", "a")
    assert evidence() == []


@pytest.mark.parametrize("handle", [True, False])
def test_useful_after_reformulation_counts_for_the_old_wording(store, evidence, handle):
    old = store.ask("log rotate", ["a", "b"], session_id="s1", answer=None)
    new = store.ask("rotate log files daily", ["c", "d"], session_id="s1", answer=None)
    click = store.signal(new, "click", "d")
    other = make(Target(0, bytes.fromhex(new.retrieval_id), bytes(16)), ()) if handle else None
    signal = store.signal(old, "reformulate", query="Rotate log files daily!", other=other)
    (row,) = evidence("reformulated")
    (clicked,) = evidence("click")
    assert (row["chunk_id"], row["direction"]) == ("d", 1)
    assert row["query_key"] != clicked["query_key"]
    assert {signal, click, new.retrieval_id} <= set(row["span_ids"])


def test_a_reformulation_of_another_session_or_an_hour_later_is_none(store, evidence):
    old = store.ask("log rotate", ["a"], session_id="s1", answer=None)
    other = store.ask("rotate logs", ["b"], session_id="s2", answer=None)
    store.signal(other, "click", "b")
    store.now_ns += 3600 * 1_000_000_000
    late = store.ask("rotate logs", ["c"], session_id="s1", answer=None)
    store.signal(late, "click", "c")
    store.signal(old, "reformulate", query="rotate logs")
    assert evidence("reformulated") == []


def test_judgments_are_about_the_version_of_their_time(store, evidence):
    first = store.chunk("a", "the old text")
    store.ask(QUERY, ["a"])
    store.judge(QUERY, "a", 4)
    store.now_ns += 3600 * 1_000_000_000
    second = store.chunk("a", "the new text")
    store.ask(QUERY, ["a"])
    store.judge(QUERY, "a", 1, judge="bob")
    store.judge(QUERY, "a", 2, judge="robot", human=False)
    rows = [(row["kind"], row["subject"], row["strength"], row["chunk_version"]) for row in evidence()]
    assert rows == [
        ("judged_human", "ann", 4.0, first),
        ("judged_human", "bob", 1.0, second),
        ("judged_llm", "robot", 2.0, second),
    ]


def test_other_scripts_and_wordings_share_a_group(store, evidence):
    for query in ("日志 轮转？", "日志  轮转", "ＬＯＧ rotation?", "log rotation"):
        store.ask(query, ["a"], cited=[1])
    assert len({row["query_key"] for row in evidence("cited")}) == 2


def test_a_query_without_text_is_left_out(store, evidence):
    store.ask("", ["a"], cited=[1])
    store.ask("   ", ["a"], cited=[1])
    assert evidence() == []


def test_empty_answers_and_empty_results(store, evidence):
    store.ask(QUERY, [], answer="")
    store.ask(QUERY, ["a"], answer="")
    assert evidence() == []
