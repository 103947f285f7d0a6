"""Which answers become examples, in which groups, and that the same store gives the same library."""

from __future__ import annotations

import itertools
from zlib import crc32

import numpy as np
import pytest
from tests.fewshot.helpers import TOPICS, liked, questions

from ragwheel import fewshot
from ragwheel.errors import ConfigurationError, DatasetError, ModelError
from ragwheel.offline.answers import read_turns, why_not
from ragwheel.offline.words import rare_names
from ragwheel.store.artifacts import list_artifacts

SMALL = fewshot.FewshotOptions(n=8, unusual_share=0)


def asked(library):
    return [one.question for one in library.examples]


def test_typical_questions_of_every_topic_come_in_groups_named_by_their_words(full):
    library = fewshot.build(full.path, fewshot.FewshotOptions(n=12))
    assert len(library.examples) == 12
    assert len({one.id for one in library.examples}) == 12
    topics = {full_topic(one.question) for one in library.examples}
    assert topics == set(TOPICS)
    assert sum(group.share for group in library.groups) == pytest.approx(1, abs=0.01)
    words = {word for _, question in questions() for word in question.split()}
    assert all(set(group.name.split(" (")[0].split(", ")) <= words for group in library.groups)
    assert sum(one.represents for one in library.examples) == library.counts["turns"] == 80
    users = {one.turn_id: one.person for one in read_turns(full.path)}
    assert library.people == len({users[one.turn_id] for one in library.examples}) > 6


def full_topic(question):
    return next(topic for topic, asked in questions() if asked == question)


def test_the_same_store_gives_the_same_library(full):
    first, second = fewshot.build(full.path, SMALL), fewshot.build(full.path, SMALL)
    assert first.id == second.id
    assert first.examples == second.examples


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda t, a: t.signal(a, "thumbs_down", of_answer=True), "disliked"),
        (lambda t, a: t.signal(a, "rating", of_answer=True, value=1), "disliked"),
        (lambda t, a: t.signal(a, "reformulate", of_answer=True, query="other"), "disliked"),
        (lambda t, a: t.ask("how do I rotate the old keys again", ["d"], session_id="s"), "asked again"),
    ],
)
def test_a_like_is_not_enough(traces, spoil, reason):
    spoil(traces, liked(traces, "how do I rotate the old keys", session_id="s"))
    assert why_not(read_turns(traces.path)[0]) == reason


@pytest.mark.parametrize(
    ("kind", "value", "reason"),
    [
        ("rating", 5, None), ("rating", 3, "not liked"), ("convert", None, None), ("thumbs_up", None, None),
        ("follow_up", None, "not liked"),
    ],
)  # fmt: skip
def test_what_counts_as_liked(traces, kind, value, reason):
    turn = traces.ask("how do I rotate keys", ["d"], cited=[1])
    traces.signal(turn, kind, of_answer=True, value=value)
    assert why_not(read_turns(traces.path)[0]) == reason


def test_a_like_of_a_chunk_is_no_like_of_the_answer(traces):
    traces.signal(traces.ask("how do I rotate keys", ["d"], cited=[1]), "thumbs_up", "d")
    assert why_not(read_turns(traces.path)[0]) == "not liked"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("[1]", "empty answer"), ("[1][2, 3].", "empty answer"), ("【1†source】", "empty answer"),
        ("Sources: [1], [2]", "empty answer"), ("(See source 1)", "empty answer"), ("…", "empty answer"),
        ("<think>hm</think>[1]", "empty answer"), ("  ", "no answer"),
        ("42 [1]", None), ("42", None), ("No. [1]", None), ("是的 [1]", None),
    ],
)  # fmt: skip
def test_an_answer_that_only_names_its_source_is_empty(traces, answer, reason):
    liked(traces, "how do I rotate keys", answer=answer)
    assert why_not(read_turns(traces.path)[0]) == reason


def test_what_is_left_out_is_counted_by_reason(traces):
    for _, question in itertools.islice(questions(), 6):
        liked(traces, question)
    liked(traces, "keys")
    liked(traces, "where is order 99812 of Zanzibar Ltd")
    liked(traces, "how do I print a very long manual", answer="word " * 2_000)
    traces.ask("how do I get no answer at all", ["d"], answer=None)
    traces.ask("is anything cited in here", ["d"])
    liked(traces, "HOW do I rotate the signing key for my team?")
    counts = fewshot.build(traces.path, SMALL).counts
    for reason in (
        "too short a question",
        "too specific",
        "too long an answer",
        "no answer",
        "asked more than once",
    ):
        assert counts[reason] == 1, reason
    assert counts["not liked"] == 1
    assert counts["turns"] == 12


def test_the_farthest_from_what_people_ask_is_left_out(full):
    liked(full, "zebra quantum violin marmalade")
    library = fewshot.build(full.path, fewshot.FewshotOptions(n=60))
    assert "zebra quantum violin marmalade" not in asked(library)
    assert library.counts["unusual"] >= 1


def test_personal_data_is_replaced(traces):
    liked(traces, "how do I reach ada@example.org about the keys", answer="Write to bob@example.org [1].")
    library = fewshot.build(traces.path, SMALL)
    (one,) = library.examples
    assert (one.question, one.answer) == ("how do I reach [email] about the keys", "Write to [email] [1].")
    assert library.counts["scrubbed"] == 1
    own = fewshot.build(traces.path, fewshot.FewshotOptions(redact=lambda text: text.replace("keys", "[x]")))
    assert "[x]" in own.examples[0].question


def test_reasoning_that_the_app_recorded_is_kept(traces):
    liked(traces, "how do I rotate keys", answer="<think>The manual says so.</think>\nRun it [1].")
    (one,) = fewshot.build(traces.path, SMALL).examples
    assert (one.answer, one.reasoning, one.reasoning_by) == ("Run it [1].", "The manual says so.", "app")


def test_reasoning_that_the_answer_was_recorded_with(traces):
    thought = "<think>Not this.</think>\nRun it [1]."
    liked(traces, "how do I rotate keys", answer=thought, reasoning="Ask ann@example.com about it.")
    (one,) = fewshot.build(traces.path, fewshot.FewshotOptions(n=1)).examples
    assert one.answer == "Run it [1]."
    assert (one.reasoning, one.reasoning_by) == ("Ask [email] about it.", "app")


def test_the_apps_own_types_win(full):
    by_code = fewshot.FewshotOptions(n=6, label_of=lambda question: "money" if "bill" in question else None)
    assert {group.name for group in fewshot.build(full.path, by_code).groups} == {"money", "other"}
    full._run("UPDATE _chunk SET metadata = json_object('category', upper(app_id))")
    by_key = fewshot.FewshotOptions(n=8, label_key="category")
    assert {group.name for group in fewshot.build(full.path, by_key).groups} == {
        topic.upper() for topic in TOPICS
    }
    each = fewshot.build(full.path, fewshot.FewshotOptions(n=2, per_group=True, label_key="category"))
    assert [sum(one.group == group.name for one in each.examples) for group in each.groups] == [2] * 4


def test_a_function_gives_the_vectors(full):
    def embed(texts):
        return np.array(
            [[crc32(part.encode()) % 97 for part in (text[:20], text[20:], text)] for text in texts]
        )

    library = fewshot.build(full.path, fewshot.FewshotOptions(n=4, embed=embed, groups=1, near_copy=1))
    assert len(library.examples) == 4
    with pytest.raises(ConfigurationError, match="give it again"):
        fewshot.Selector(library)
    assert len(fewshot.Selector(library, embed=embed, k=2).select("x")) == 2
    for broken in (lambda texts: ["x"], lambda texts: [[1.0]], lambda texts: [[float("nan")]] * len(texts)):
        with pytest.raises(ModelError, match="embedding function gave"):
            fewshot.build(full.path, fewshot.FewshotOptions(embed=broken))
    with pytest.raises(ConfigurationError, match="got a int"):
        fewshot.build(full.path, fewshot.FewshotOptions(embed=7))


@pytest.mark.parametrize(
    ("fill", "says"),
    [
        (lambda t: t.retrieve("q", ["d"]), "no turn was recorded.*turn.answer"),
        (lambda t: t.ask("how do I x", ["d"], answer=None), "record answers"),
        (lambda t: t.ask("how do I x", ["d"], answer="  "), "no answer 1.*record answers"),
        (lambda t: t.ask("how do I x", ["d"], cited=[1]), "not liked 1.*ragwheel.signal"),
        (
            lambda t: t.signal(t.ask("how do I x", ["d"]), "thumbs_up", of_answer=True),
            "nothing cited 1.*citations=ids",
        ),
        (lambda t: liked(t, "keys"), "too short a question 1.*ragwheel show"),
    ],
)
def test_without_a_single_example_it_says_what_to_log(traces, fill, says):
    fill(traces)
    with pytest.raises(DatasetError, match=says):
        fewshot.build(traces.path)


@pytest.mark.parametrize(
    "wrong", [{"n": 0}, {"unusual_share": 1}, {"groups": 0}, {"near_copy": 0}, {"population": 3}]
)
def test_options_that_cannot_be(wrong):
    with pytest.raises(ConfigurationError, match=f"few-shot {next(iter(wrong))}: got"):
        fewshot.FewshotOptions(**wrong)


def test_a_library_comes_back_from_its_file_and_the_database_remembers_it(full, tmp_path):
    library = fewshot.build(full.path, SMALL)
    place = fewshot.save(library, tmp_path / "lib", db=full.path)
    assert place == tmp_path / "lib" / "library.json"
    assert fewshot.Library.load(tmp_path / "lib") == library
    assert place.stat().st_mode & 0o077 == 0
    (artifact,) = list_artifacts(full.path)
    assert (artifact.kind, artifact.path, artifact.subjects) == ("fewshot", place, library.people)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "There is no few-shot library"),
        (b"{", "cannot be read"),
        (b'{"format": "other"}', "is no few-shot library"),
        (b'{"format": "ragwheel-fewshot", "format_version": 9}', "pip install -U"),
        (b'{"format": "ragwheel-fewshot", "format_version": 1, "examples": [{"id": 1}]}', "damaged"),
    ],
)
def test_a_file_that_is_no_library(tmp_path, content, says):
    place = tmp_path / "lib.json"
    if content is not None:
        place.write_bytes(content)
    with pytest.raises(DatasetError, match=says):
        fewshot.Library.load(place)
    with pytest.raises(DatasetError, match="cannot be written"):
        fewshot.Library(()).save(tmp_path / "lib.json" / "below" if content else "/proc/none/x.json")


def test_names_are_what_names_one_thing():
    assert rare_names("Why is Order A-17 for Zoë late? Because of [email]") == [
        "[email]",
        "order",
        "a-17",
        "zoë",
    ]
