"""What a process remembers of its own records: enough to tell an unknown chunk, and no more than it may."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from ragwheel.journal import recent
from ragwheel.journal.recent import RecentRecords, ServedRanking

RETRIEVAL, TURN, RERANK = 0, 1, 1


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    monkeypatch.setattr(recent, "REMEMBERED", 3)


def retrieved(records, span, ids, *, turn=None, outer=None, source="kb", kind=0):
    record = SimpleNamespace(span_id=span, turn_id=turn, outer_id=outer, source=source, kind=kind)
    records.retrieved(record, ids)


def test_a_retrieval_is_remembered_with_its_source_and_its_chunks_in_order():
    records = RecentRecords()
    retrieved(records, b"r", ["b", "a", ""], source="kb one")
    assert records.served(RETRIEVAL, b"r") == [ServedRanking("kb one", 0, ("b", "a", ""))]
    retrieved(records, b"r", [])
    assert records.served(RETRIEVAL, b"r") == [ServedRanking("kb", 0, ())]
    assert records.served(RETRIEVAL, b"another") is None
    assert records.served(TURN, b"r") is None


def test_a_turn_has_its_outermost_retrievals_in_their_order():
    records = RecentRecords()
    retrieved(records, b"r1", ["a"], turn=b"t")
    retrieved(records, b"inner", ["x"], turn=b"t", outer=b"r2")
    retrieved(records, b"r2", ["b"], turn=b"t", source="web")
    assert records.served(TURN, b"t") == [ServedRanking("kb", 0, ("a",)), ServedRanking("web", 0, ("b",))]
    assert records.served(RETRIEVAL, b"inner") == [ServedRanking("kb", 0, ("x",))]


def test_of_a_turn_with_a_forgotten_retrieval_nothing_is_told():
    """An id that is in none of those remembered may be in the one that is not."""
    records = RecentRecords()
    retrieved(records, b"r1", ["a"], turn=b"t")
    for n in range(2):
        retrieved(records, b"other%d" % n, ["x"])
    assert records.served(TURN, b"t") is not None
    retrieved(records, b"r2", ["b"], turn=b"t")
    assert records.served(RETRIEVAL, b"r1") is None
    assert records.served(TURN, b"t") is None


def test_the_latest_retrievals_turns_and_events_are_remembered():
    records = RecentRecords()
    for n in range(4):
        retrieved(records, b"r%d" % n, ["a"], turn=b"t%d" % n)
        records.add_event(n)
    assert [records.served(RETRIEVAL, b"r%d" % n) is not None for n in range(4)] == [False, True, True, True]
    assert [records.served(TURN, b"t%d" % n) is not None for n in range(4)] == [False, True, True, True]
    assert [records.happened(n) for n in range(4)] == [False, True, True, True]


def test_a_turn_of_more_retrievals_than_are_remembered_stays_bounded():
    records = RecentRecords()
    for n in range(50):
        retrieved(records, b"r%d" % n, ["a"], turn=b"t")
    assert len(records._turns[b"t"]) == 4
    assert records.served(TURN, b"t") is None


def test_an_event_without_an_id_is_never_one_that_happened():
    records = RecentRecords()
    records.add_event(None)
    assert not records.happened(None)
    records.add_event("e")
    assert records.happened("e")
    records.forget_events()
    assert not records.happened("e")


def test_the_source_of_an_id_is_that_of_the_reranking_that_holds_it_else_of_the_retrievals():
    records = RecentRecords()
    retrieved(records, b"r1", ["a", "b"], turn=b"t", source="kb")
    retrieved(records, b"r2", ["a", "c"], turn=b"t", source="web")
    assert records.sources(b"t", "a") == {"kb", "web"}
    assert records.sources(b"t", "c") == {"web"}
    assert records.sources(b"t", "z") == set()
    assert records.sources(b"unknown", "a") == set()
    retrieved(records, b"k", ["a"], turn=b"t", source="reranked", kind=RERANK)
    assert records.sources(b"t", "a") == {"reranked"}
    assert records.sources(b"t", "b") == {"kb"}
