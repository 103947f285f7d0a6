"""Erasing, pruning and copying while processes write: nothing else of theirs goes with it."""

from functools import partial

import pytest
from tests.torture import workload
from tests.torture.workload import FULL, Process, verify

from ragwheel.store import backup, erase, open_store, prune

ROUNDS = 100 if FULL else 6
STEPS = 10_000 if FULL else 300


@pytest.fixture
def db(tmp_path):
    return tmp_path / "app.db"


def test_while_processes_write(db, tmp_path):
    """Every erasure turns each writer away from its segment, at a moment of its own choosing."""
    processes = [
        Process(db, partial(workload.work, f"p{n}", steps=STEPS), merge_interval_s=0.01) for n in range(3)
    ]
    for n, process in enumerate(processes):
        process.read(at_least=10 * (n + 1))
    for n in range(ROUNDS):
        if n % 3 == 0:
            erase(db, session="nobody")
        elif n % 3 == 1:
            prune(db, max_age_days=1)
        else:
            assert backup(db, tmp_path / "copy").retrievals > 0
            (tmp_path / "copy").unlink()
        for process in processes:
            process.read(at_least=len(process.acknowledged.calls) + 5)
    assert [process.end() for process in processes] == [0] * 3
    verify(db, set().union(*(process.acknowledged.calls for process in processes)))


def test_an_erased_session_stays_away_while_others_write(db):
    gone = Process(db, partial(workload.work, "gone", steps=50), merge_interval_s=0.01)
    stays = Process(db, partial(workload.work, "stay", steps=10**6), merge_interval_s=0.01)
    assert gone.end() == 0
    stays.read(at_least=20)
    assert erase(db, session="gone").retrievals == 50
    stays.read(at_least=len(stays.acknowledged.calls) + 100)
    stays.kill()
    assert stays.end() == -9
    verify(db, stays.acknowledged.calls)
    connection = open_store(db)
    assert connection.execute("SELECT count(*) FROM retrievals WHERE session_id = 'gone'").fetchone() == (0,)
    connection.close()
