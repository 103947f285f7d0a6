"""Two sources with equal ids in one turn: the object decides, an id alone does not."""

from __future__ import annotations

import pytest

import ragwheel


@pytest.fixture
def searches():
    def source(name):
        return ragwheel.retriever(source=name, name=name)(lambda query: [{"id": "7", "text": f"of {name}"}])

    return source("handbook"), source("tickets")


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("by_handle", [True, False])
def test_the_object_decides(store, searches, which, by_handle):
    with ragwheel.turn("q") as turn:
        chunks = [search("q")[0] for search in searches]
        assert ragwheel.signal(turn.handle if by_handle else turn, "click", chunk=chunks[which])
    (row,) = store.signals()
    (source,) = store.rows("SELECT source FROM retrievals WHERE retrieval_id = ?", row["retrieval_id"])
    assert source == {"source": ("handbook", "tickets")[which]}


def test_an_ambiguous_id_is_refused_with_what_to_pass(store, searches):
    with ragwheel.turn("q") as turn:
        for search in searches:
            search("q")
        assert not ragwheel.signal(turn, "click", chunk="7")
        assert ragwheel.signal(turn.retrievals[1], "click", chunk="7")
    (reason,) = ragwheel.stats().refused
    assert "ambiguous chunk" in reason
    assert "handle of the retrieval" in reason


def test_one_source_asked_twice_is_not_ambiguous(store, searches):
    with ragwheel.turn("q") as turn:
        searches[0]("first")
        searches[0]("second")
        assert ragwheel.signal(turn, "click", chunk="7")
