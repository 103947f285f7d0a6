"""Which wordings are one query, and which are nearly one."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragwheel.labels.traces.near import families
from ragwheel.labels.traces.text import jaccard, normalise, query_key, tokens


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("How do I rotate logs?", "how do i  rotate LOGS"),
        ("“Quoted” words…", "quoted words"),
        ("ｆｕｌｌ　ｗｉｄｔｈ", "full width"),
        ("Straße", "STRASSE"),
        ("日志 轮转？", "日志 轮转"),
        ("¿Cómo?", "cómo"),
        ("os.path.join()", "os.path.join"),
        ("e\u0301te\u0301", "\u00e9t\u00e9"),
    ],
)
def test_the_same_words_are_one_query(one, other):
    assert query_key(one) == query_key(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("vectors in c++", "vectors in c"),
        ("c#", "c"),
        ("python 3.1", "python 31"),
        ("50%", "50"),
        ("a-b", "ab"),
    ],
)
def test_signs_that_carry_meaning_stay(one, other):
    assert query_key(one) != query_key(other)


def test_no_text_has_no_key_but_only_signs_do():
    assert query_key(None) == query_key("") == query_key(" \n") == ""
    assert query_key("???") != ""


@given(st.text())
def test_normalising_twice_changes_nothing(text):
    assert normalise(normalise(text)) == normalise(text)


@given(st.text(alphabet=st.characters(categories=["L", "N", "P", "Z", "Cs"])))
def test_every_text_has_a_key(text):
    assert len(query_key(text)) in (0, 16)


def test_scripts_without_spaces_have_tokens():
    assert jaccard(tokens("機械学習の入門書"), tokens("機械学習の入門")) > 0.8
    assert jaccard(tokens("機械学習の入門書"), tokens("天気予報")) == 0
    assert jaccard(frozenset(), frozenset()) == 0


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("हिन्दी", "हांदू"),  # the same consonants
        ("كَتَبَ", "كِتَابٌ"),
        ("ที่", "ท่า"),
    ],
)
def test_vowel_signs_and_tone_marks_belong_to_their_word(one, other):
    assert tokens(one)
    assert not tokens(one) & tokens(other)


def test_emoji_are_no_words_but_tell_queries_apart():
    assert tokens("👍🏽 👩‍💻 ❤️") == frozenset()
    assert len({query_key("👍"), query_key("👍🏽"), query_key("❤️"), query_key("👩‍💻")}) == 4


@pytest.mark.parametrize("threshold", [0.5, 0.8, 0.9, 1.0])
@pytest.mark.parametrize("seed", range(5))
def test_families_are_those_of_comparing_all_with_all(seed, threshold):
    rng = random.Random(seed)
    texts = {f"k{n}": " ".join(rng.choices("abcdefgh", k=rng.randint(1, 9))) for n in range(60)}
    texts["empty"] = "?"
    parent = {key: key for key in texts}
    for one, other in itertools.combinations(sorted(texts), 2):
        if jaccard(tokens(texts[one]), tokens(texts[other])) >= threshold:
            merged = {parent[one], parent[other]}
            parent.update({key: min(merged) for key in texts if parent[key] in merged})
    assert families(texts, threshold) == parent
