"""The parts of the review page that need no server: order, kappa, tallies, topics, Markdown, the picture."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from ragwheel.judgments import OpenPair
from ragwheel.review.documents import topics
from ragwheel.review.kappa import weighted_kappa
from ragwheel.review.markdown import question_words, render
from ragwheel.review.ordering import ReviewQueue
from ragwheel.review.preferences import tally_of
from ragwheel.review.waterfall import WaterfallStep, draw
from ragwheel.store.reviews import ReviewRow


def pair(question, chunk, why="unsure"):
    return OpenPair(f"key{question}", f"question {question}", 1, "kb", chunk, 1, why, 0.5)


def test_chunks_of_a_question_come_together_and_tiers_stay_in_order():
    queue = ReviewQueue(
        [pair(1, "a"), pair(2, "b"), pair(1, "c"), pair(2, "d"), pair(1, "e"), pair(1, "f", "sure")],
        per_question=2,
    )
    assert [queued.pair.chunk_id for queued in queue.ordered] == ["a", "c", "b", "d", "e", "f"]


def test_a_rater_goes_on_where_it_stopped_and_what_is_taken_back_comes_again():
    queue = ReviewQueue([pair(1, name) for name in "abcd"], per_question=5)
    queue.begin("ann", [])
    first = queue.following("ann", 2)
    assert [queued.pair.chunk_id for queued in first] == ["a", "b"]
    queue.handle("ann", first[0].key)
    assert [queued.pair.chunk_id for queued in queue.following("ann", 9, {first[1].id})] == ["c", "d"]
    queue.reopen("ann", first[0].key)
    assert queue.following("ann", 1) == [first[0]]
    assert queue.counts("bob") == (0, 4)


def test_kappa_weighs_far_grades_more_and_has_an_interval():
    questions = [str(n % 10) for n in range(60)]
    grades = [n % 6 for n in range(60)]
    same = weighted_kappa(grades, grades, questions)
    assert (same.kappa, same.exact) == (1.0, 1.0)
    near = weighted_kappa(grades, [min(grade + 1, 5) for grade in grades], questions)
    far = weighted_kappa(grades, [5 - grade for grade in grades], questions)
    assert far.kappa < 0 < near.kappa < 1
    assert near.low <= near.kappa <= near.high
    assert weighted_kappa([3, 3], [3, 3], ["a", "b"]).kappa is None
    assert weighted_kappa([], [], []).kappa is None


def test_a_question_counts_once_however_many_prefer():
    rows = [ReviewRow("prefer", f"r{n}", 1, query="q1", value="first") for n in range(5)]
    rows += [ReviewRow("prefer", "ann", 1, query="q2", value="second")]
    tally = tally_of(rows)
    assert (tally.first, tally.second, tally.tie, tally.share) == (1, 1, 0, 0.5)
    assert tally.low < 0.5 < tally.high
    assert tally_of([]).share is None


def test_topics_take_every_question_once():
    found = topics(
        [("reset my password", 3), ("password is lost", 1), ("shipping to Norway", 9), ("lonely", 1)]
    )
    assert [(topic.word, topic.asked) for topic in found] == [("password", 4), ("", 10)]


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "[a](javascript:alert(1))",
        "[a](data:text/html,<script>alert(1)</script>)", "![a](http://evil.example/x.png)",
        "[a](//evil.example)",
        "<a href='javascript:alert(1)'>a</a>", "```<script>\nalert(1)\n```", "| a |\n|:-:|\n| <b> |",
        "`<svg onload=x>`",
    ],
)  # fmt: skip
def test_no_text_becomes_an_element_that_runs_or_loads(text):
    html = str(render(text, question_words("alert script")))
    for word in (
        "<script",
        "<img",
        "<svg",
        "<b>",
        'href="java',
        'href="data',
        'href="//',
        "style=",
        'onerror="',
    ):
        assert word not in html


def test_words_of_the_question_are_marked_also_inflected():
    html = str(render("Rotating the logs.", question_words("How do I rotate my log files?")))
    assert html == "<p><mark>Rotating</mark> the logs.</p>\n"


def test_the_picture_is_well_formed_and_escapes_names():
    steps = [
        WaterfallStep("before", -1.0, level=True),
        WaterfallStep("<script>&", 3.0),
        WaterfallStep("against", -0.5),
        WaterfallStep("belief", 1.5, level=True),
    ]
    picture = ET.fromstring(str(draw(steps)))
    texts = [element.text for element in picture.iter() if element.tag.endswith("text")]
    assert "<script>&" in texts
    assert "82%" in texts


def test_a_topic_is_a_word_that_answered_questions_seldom_have():
    missing = [(f"price of item{n} from Norway", 2) for n in range(6)] + [
        (f"send from item{n}", 1) for n in range(3)
    ]
    answered = [f"reset from item{n} with password" for n in range(30)]
    found = topics(missing, answered)
    assert [(topic.word, len(topic.questions)) for topic in found] == [("norway", 6), ("send", 3)]
    assert sum(len(topic.questions) for topic in found) == len(missing)


def test_underscores_of_names_are_shown_and_asterisks_emphasize():
    html = str(render("call __init__ or `__del__` of *my_class_* and **that**"))
    assert "__init__" in html
    assert "<code>__del__</code>" in html
    assert "<em>my_class_</em>" in html
    assert "<strong>that</strong>" in html


def test_a_python_prompt_is_no_quotation():
    html = render("Example:\n>>> geohash(1)\n'ab'\n\n> said by somebody")
    assert "&gt;&gt;&gt; geohash(1)" in html
    assert html.count("<blockquote>") == 1
