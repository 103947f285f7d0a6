"""A request of many signals: one answer each, one sync for all."""

from __future__ import annotations

import errno
import os

import pytest

import ragwheel
from ragwheel.guard import guard
from ragwheel.journal import writer


class Disk:
    """The module ``os``, whose ``fdatasync`` is counted, and fails while ``broken``."""

    def __init__(self):
        self.synced, self.broken = 0, False

    def fdatasync(self, fd):
        self.synced += 1
        if self.broken:
            raise OSError(errno.EIO, "broken")
        os.fdatasync(fd)

    def __getattr__(self, name):
        return getattr(os, name)


@pytest.fixture
def disk(monkeypatch):
    monkeypatch.setenv("RAGWHEEL_DURABILITY", "power")
    found = Disk()
    monkeypatch.setattr(writer, "os", found)
    return found


def clicks(shop, n):
    return [{"handle": shop.retrieval, "kind": "click", "chunk": "c1", "event_id": f"e{i}"} for i in range(n)]


def test_with_power_durability_a_request_is_one_sync(disk, shop):
    ragwheel.flush()
    before = disk.synced
    assert shop.results(*clicks(shop, 20)) == [("kept", None)] * 20
    assert disk.synced - before == 1
    assert len(shop.rows()) == 20


def test_what_could_not_be_synced_is_not_acknowledged_and_comes_again(disk, shop, caplog):
    ragwheel.flush()
    disk.broken = True
    answer = shop.post({"signals": clicks(shop, 3)})
    assert answer.status_code == 503
    assert {result["status"] for result in answer.json()["results"]} == {"later"}
    assert "could not sync" in caplog.text
    disk.broken = False
    assert {status for status, _ in shop.results(*clicks(shop, 3))} <= {"kept", "duplicate"}
    assert len(shop.rows()) == 3
    guard.reset()


def test_an_event_twice_in_one_request_is_one_row(shop):
    first = clicks(shop, 1)[0]
    found = shop.results(first, first, {**first, "kind": "copy"})
    assert found == [("kept", None), ("duplicate", None), ("refused", "event_id of another signal")]
    assert len(shop.rows()) == 1


def test_an_event_id_belongs_to_one_person_and_one_answer(shop):
    mallory, alice = (shop.handle(subject=user) for user in ("mallory", "alice"))
    thumb = {"kind": "thumbs_up", "event_id": "order-7"}
    sent = [
        {**thumb, "handle": mallory, "kind": "thumbs_down"},
        {**thumb, "handle": alice},
        {**thumb, "handle": shop.retrieval},
    ]
    assert shop.results(*sent) == [("kept", None)] * 3
    assert shop.results(*sent) == [("duplicate", None)] * 3
    assert [row[0] for row in shop.rows()] == ["thumbs_down", "thumbs_up", "thumbs_up"]
    ragwheel.shutdown()
    ragwheel.configure(shop.db, app="shop", signing_keys=("k1:" + "5a" * 32,))
    assert shop.results(*sent) == [("duplicate", None)] * 3
    assert shop.results({**sent[1], "kind": "thumbs_down"}) == [("refused", "event_id of another signal")]
    assert len(shop.rows()) == 3


@pytest.mark.parametrize("here", [True, False], ids=["in this process", "from the database"])
def test_an_id_of_two_sources_in_a_turn_is_refused_with_what_to_send(shop, here):
    with ragwheel.turn("q", user_id="u1") as turn:
        for source in ("manuals", "tickets"):
            ragwheel.retriever(lambda query: [{"id": "1", "text": "t"}], source=source)("q")
    if not here:
        ragwheel.shutdown()
        ragwheel.configure(shop.db, app="shop", signing_keys=("k1:" + "5a" * 32,))
    click = {"handle": turn.handle, "kind": "click", "chunk": "1"}
    reason = "chunk id of several sources: send the handle of the retrieval"
    assert shop.results(click) == [("refused", reason)]
    assert shop.results({**click, "handle": turn.retrievals[1].handle}) == [("kept", None)]
    assert shop.rows("source, chunk_id") == [("tickets", "1")]
