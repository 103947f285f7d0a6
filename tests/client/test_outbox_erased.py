"""Erasing what waits in an outbox to be sent."""

import subprocess
import sys

import pytest

import ragwheel
from ragwheel import offline
from ragwheel.client.outbox import FileOutbox, erase_from_outbox
from ragwheel.store.erase_proof import found_in

KEY = "k1:" + "5a" * 32
PUT_AND_DIE = (
    "import os, sys\n"
    "from ragwheel.client.outbox import FileOutbox\n"
    "outbox = FileOutbox(sys.argv[1], 10**6)\n"
    "for body in sys.argv[2:]: assert outbox.put(body.encode())\n"
    "os._exit(9)"
)


def drained(outbox):
    bodies = []
    outbox.adopt_orphans()
    while batch := outbox.take(2, 10**6):
        bodies += batch
        outbox.done(())
    return bodies


@pytest.mark.parametrize("gone", [(), (0,), (4,), (1, 2), (0, 1, 2, 3, 4)])
@pytest.mark.parametrize("living", [True, False], ids=["of this process", "of a dead one"])
def test_what_is_erased_is_not_sent_and_the_rest_is_in_order(tmp_path, gone, living):
    bodies = [b'{"n": %d, "mark": "%s"}' % (n, b"secret" if n in gone else b"plain ") for n in range(5)]
    outbox = FileOutbox(tmp_path / "out", 10**6)
    if living:
        assert all(outbox.put(body) for body in bodies)
    else:
        command = [sys.executable, "-c", PUT_AND_DIE, tmp_path / "out", *(body.decode() for body in bodies)]
        assert subprocess.run(command, check=False).returncode == 9
    assert erase_from_outbox(tmp_path / "out", lambda body: b"secret" in body) == len(gone)
    assert found_in((tmp_path / "out.outbox.segments").iterdir(), [b"secret"]) == ()
    assert drained(outbox) == [body for n, body in enumerate(bodies) if n not in gone]
    assert outbox.pending == 0
    assert outbox.put(b'{"n": 9}')
    assert drained(outbox) == [b'{"n": 9}']
    outbox.close()


def test_erasing_a_person_reaches_signals_that_were_not_sent(tmp_path):
    db = tmp_path / "app.db"
    ragwheel.configure(db, signing_keys=[KEY], merge_interval_s=60)
    search = ragwheel.retriever(lambda query: ["a"])
    turns = {}
    for user in ("ada-1", "bob-1", None):
        with ragwheel.turn("q", user_id=user, session_id=f"session of {user}") as turn:
            search(f"asked by {user}")
        turns[user] = turn
    from ragwheel.client import SignalClient

    with SignalClient("http://127.0.0.1:9", outbox=tmp_path / "out") as client:
        for turn in turns.values():
            client.signal(turn.handle, "reformulate", query=f"again, by {turn.user_id}")
        assert ragwheel.flush()
        outboxes = [tmp_path / "out"]
        assert offline.erase(db, offline.Selection(user="ada-1"), outboxes=outboxes).outbox_signals == 1
        assert (
            offline.erase(db, offline.Selection(session="session of None"), outboxes=outboxes).outbox_signals
            == 1
        )
        waiting = list((tmp_path / "out.outbox.segments").iterdir())
        assert found_in(waiting, [b"by ada-1", b"by None"]) == ()
        assert found_in(waiting, [b"by bob-1"]) != ()
        assert (
            offline.erase(db, offline.Selection(query_matching="by bob"), outboxes=outboxes).outbox_signals
            == 1
        )
