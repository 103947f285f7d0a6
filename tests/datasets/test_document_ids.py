"""The id of a chunk outside the store."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragwheel.datasets.document_ids import document_id, several_sources


def test_the_source_stands_before_the_id_where_there_are_several():
    assert document_id("kb", "a/b", several=True) == "kb/a/b"
    assert document_id("kb", "a/b", several=False) == "a/b"
    assert document_id("kb", "ünï") == "kb/ünï"


def test_a_chunk_of_an_evaluation_set_always_keeps_its_source():
    assert document_id("evalset:x", "a", several=False) == "evalset:x/a"


def test_sources_of_evaluation_sets_do_not_make_several():
    assert not several_sources(["kb", "evalset:x", "kb"])
    assert several_sources(["kb", "wiki"])


@pytest.mark.parametrize(
    ("chunk_id", "encoded"),
    [("a b%\n", "a%20b%25%0A"), ("no\N{NO-BREAK SPACE}break", "no%C2%A0break"), ("tab\t", "tab%09")],
)
def test_an_id_has_no_blanks(chunk_id, encoded):
    assert document_id("kb", chunk_id, several=False) == encoded


names = st.text(alphabet=st.sampled_from("ab/% \n\N{NO-BREAK SPACE}ü"), min_size=1, max_size=5)


@given(st.tuples(names, names), st.tuples(names, names))
def test_two_chunks_never_share_an_id(one, other):
    assert (document_id(*one) == document_id(*other)) == (one == other)
    assert document_id(*one).split() == [document_id(*one)]
