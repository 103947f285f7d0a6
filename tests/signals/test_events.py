"""Event ids: one event of one person about one answer is one row, whoever sends it again and from where."""

import itertools
import subprocess
import sys

import pytest

import ragwheel

SEND = (
    "import sys, ragwheel\n"
    "ragwheel.configure(sys.argv[1], merge_interval_s=60)\n"
    "for handle in sys.argv[3:]:\n"
    "    print(ragwheel.signal(handle, 'thumbs_up', event_id=sys.argv[2]))"
)


@pytest.fixture
def ask():
    """Ask a question as somebody; the turn."""

    @ragwheel.retriever(name="kb")
    def search(query):
        return ["a", "b"]

    def turn(user):
        with ragwheel.turn("q", user_id=user) as turn:
            search("q")
        return turn

    return turn


def balanced():
    stats = ragwheel.stats()
    assert stats.unaccounted == 0
    assert stats.emitted == stats.stored + stats.journalled + sum(stats.dropped.values())
    return stats


def test_an_event_id_is_unique_within_a_target_and_a_subject(store, ask):
    alice, again, mallory = ask("alice"), ask("alice"), ask("mallory")
    targets = [alice.handle, alice.retrievals[0].handle, again.handle, mallory.handle]
    for handle in targets:
        assert ragwheel.signal(handle, "thumbs_up", event_id="order-7")
    for subject in ("one", "two"):
        assert ragwheel.signal(alice.handle, "thumbs_up", event_id="order-7", subject=subject)
    assert len(store.signals()) == len(targets) + 2
    assert balanced().dropped == {}


def test_a_replay_in_this_process_is_one_record(store, ask):
    turn = ask("alice")
    assert all(ragwheel.signal(turn.handle, "thumbs_up", event_id="e1") for _ in range(5))
    assert len(store.signals()) == 1
    assert balanced().emitted == 3  # with the retrieval and the turn


def test_a_replay_by_another_process_and_after_a_restart_is_one_row_and_counted(store, ask):
    turn = ask("alice")
    assert ragwheel.signal(turn.handle, "thumbs_up", event_id="e1")
    assert ragwheel.flush(30)
    for _ in range(2):
        sent = [sys.executable, "-c", SEND, store.db, "e1", turn.handle, ask("bob").handle]
        assert subprocess.run(sent, capture_output=True, text=True, check=True).stdout == "True\nTrue\n"
    assert len(store.signals()) == 3
    ragwheel.configure(store.db, merge_interval_s=60)
    assert ragwheel.signal(turn.handle, "thumbs_up", event_id="e1")
    assert len(store.signals()) == 3
    stats = balanced()
    assert (stats.emitted, stats.stored, stats.dropped) == (1, 0, {"repeated": 1})


def test_both_of_two_people_with_signed_handles_are_heard(store, ask):
    ragwheel.configure(store.db, signing_keys=["k1:" + "ab" * 32])
    users = ("mallory", "alice", None)
    for user, _ in itertools.product(users, range(2)):
        assert ragwheel.signal(ask(user).handle, "thumbs_up", event_id="order-7")
    assert sorted(str(row["subject"]) for row in store.signals()) == sorted(2 * [str(u) for u in users])
