from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragwheel.citations.markers import markers

IDS = {"kb-7", "doc1", "2", "12345", "Über uns", "a b"}


def positions(text):
    return [marker.position for marker in markers(text, IDS)]


def ids(text):
    return [marker.app_id for marker in markers(text, IDS)]


def test_a_code_block_ends_with_a_fence_of_its_own_kind_and_length():
    inside = "```\nx[1]\n~~~\ny [2]\n```\nso [3]"
    assert positions(inside) == [3]
    assert positions("~~~~\n[1]\n~~~\n[2]\n~~~~\n[3]") == [3]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("It is so [1].", [1]),
        ("It is so[1].", [1]),
        ("[2, 3] and [4,5] and [6; 7] and [8 and 9]", [2, 3, 4, 5, 6, 7, 8, 9]),
        ("[1][2] [3]", [1, 2, 3]),
        ("[1-3]", [1, 2, 3]),
        ("[1–3, 5]", [1, 2, 3, 5]),
        ("【1】 and 【2†source】 and 【3†L5-L8】", [1, 2, 3]),
        ("so it is[^1]", [1]),
        ("[doc2] [Doc 3] [Source 4] [source_5] [Document #6] [Sources 7, 8]", [2, 3, 4, 5, 6, 7, 8]),
        ("see [1](https://example.com/a)", [1]),
        ("[[1]] and [[2]](https://example.com)", [1, 2]),
        ("**bold**[1] (in brackets)[2] S²[3] the EU[4]", [1, 2, 3, 4]),
        ("1[2]. Next step", [2]),
        ("e.g[1] as example.com[2] says", [1, 2]),
        ("Don't[1] or it's[2]", [1, 2]),
        ("as said in [1]: https://example.com", [1]),
        ("and here[^2]: so it is", [2]),
    ],
)
def test_positions(text, found):
    assert positions(text) == found


@pytest.mark.parametrize(
    "text",
    [
        *("[0]", "[2019]", "[1.5]", "[-1, 1]", "[0, 1]", "[3-1]", "[1-400]", "[sic]", "[TfO]", "[ ]", "[]"),
        *("[1, x]", "[a link](https://example.com)", "`[1]`", "``x`[1]``", "```py\n[1]", "~~~\n[1]\n~~~\n"),
        *("a[1]", "row_ids[2] = 3", "self.rows[4]", "f()[1]", "[^1]: A footnote", "[1]: https://example.com"),
    ],
)
def test_what_is_no_citation(text):
    assert positions(text) == []


def test_code_ends_where_it_ends():
    assert positions("`[1]` [2] ``` [3]") == [2, 3]
    assert positions("```\n[1]\n```\n[2] a ` lonely tick\n\nand [3] ` another") == [2, 3]


def test_a_bracket_that_is_an_id_names_that_chunk():
    assert ids("[kb-7], [doc1], [Über uns], [a b] and [id: kb-7]") == [
        "kb-7",
        "doc1",
        "Über uns",
        "a b",
        "kb-7",
    ]
    assert ids("[kb-7, doc1]") == ["kb-7", "doc1"]
    assert ids("[kb-8] [KB-7]") == []


def test_a_short_number_is_a_position_even_where_ids_are_numbers():
    assert [(m.position, m.app_id) for m in markers("[2] [12345]", IDS)] == [(2, None), (None, "12345")]


def test_the_span_is_that_of_the_marker():
    text = "naïve 🛞 [1, 2]."
    found = list(markers(text))
    assert [text[m.start : m.end] for m in found] == ["[1, 2]", "[1, 2]"] == [m.text for m in found]


@given(st.text(alphabet=st.sampled_from("[]【】1,2-^†: `~\nab_.()=\\")))
def test_any_text_has_sound_markers(text):
    for marker in markers(text, {"ab"}):
        assert text[marker.start : marker.end] == marker.text
        assert (marker.position is None) != (marker.app_id is None)


@pytest.mark.parametrize("piece", ["[", "]", "`", "``` ", "[1", "【", "[1, ", "_a", "a.", "\n```\n", "`` ` "])
def test_time_is_linear_in_the_text(piece):
    started = time.process_time()
    list(markers(piece * (300_000 // len(piece))))
    assert time.process_time() - started < 5  # a quadratic scan takes minutes
