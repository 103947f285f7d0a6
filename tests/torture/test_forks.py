"""Forks after ``configure``: nothing inherited is used, nothing of the parent's is lost."""

import multiprocessing
import os
import signal
import threading

import pytest
from tests.torture import workload
from tests.torture.counts import count
from tests.torture.workload import FULL, Acknowledged, Process, verify

import ragwheel
from ragwheel.journal import files

FORKS = 1000 if FULL else 60


@pytest.fixture
def db(tmp_path):
    return tmp_path / "app.db"


def forks(pipe, n, *, wait):
    """Work, fork, work on both sides; some children are killed, some end as they like."""
    children = []
    for i in range(n):
        workload.step(f"{os.getpid() % 10000:04d}", 10**6 + i, pipe)
        pid = os.fork()
        if pid == 0:
            workload.work(f"c{i:03d}"[-4:], pipe, 3)
            if i % 3 == 0:
                count("SIGKILLs of forked children")
                os.kill(os.getpid(), signal.SIGKILL)
            if i % 3 == 1:
                ragwheel.shutdown()
            os._exit(0)
        children.append(pid)
        if wait or len(children) > 8:
            os.waitpid(children.pop(0), 0)
    for pid in children:
        os.waitpid(pid, 0)
    workload.step("last", 0, pipe)
    workload.counted()


@pytest.mark.parametrize("wait", [True, False], ids=["one by one", "many at once"])
def test_many_forks_while_the_parent_merges(db, wait):
    process = Process(db, lambda pipe: forks(pipe, FORKS, wait=wait), merge_interval_s=0.001)
    assert process.end() == 0
    assert len(process.acknowledged.calls) == (FORKS * 4 + 1) * 3
    assert verify(db, process.acknowledged.calls) == FORKS * 4 + 1


def test_a_child_outlives_its_parent_and_takes_nothing_with_it(db):
    """The child has the parent's descriptors at the moment of the fork, the locks among them."""
    ready, go = os.pipe(), os.pipe()

    def parent(pipe):
        workload.work("par0", pipe, 20)
        if os.fork() == 0:
            workload.work("kid0", pipe, 5)
            os.write(ready[1], b"x")
            os.read(go[0], 1)
            os._exit(0)
        workload.work("par1", pipe, 20)
        os.kill(os.getpid(), signal.SIGKILL)

    process = Process(db, parent, merge_interval_s=0.001)
    os.read(ready[0], 1)
    assert os.waitstatus_to_exitcode(os.waitpid(process.pid, 0)[1]) == -9
    process.read(at_least=45 * 3)
    try:
        assert verify(db, process.acknowledged.calls) == 45  # the child still lives
        assert len(files.segments(db)) == 1  # its own
    finally:
        os.write(go[1], b"x")
        for end in (*ready, *go, process.pipe):
            os.close(end)


def test_a_fork_while_other_threads_record(db):
    """The child has a copy of whatever locks they held at that moment."""

    def parent(pipe):
        threads = [threading.Thread(target=workload.work, args=(f"th{i}", pipe, 150)) for i in range(3)]
        for thread in threads:
            thread.start()
        for i in range(20):
            pid = os.fork()
            if pid == 0:
                workload.work(f"f{i}", pipe, 2)
                os._exit(0)
            assert os.waitpid(pid, 0)[1] == 0
        for thread in threads:
            thread.join()

    process = Process(db, parent, merge_interval_s=0.01)
    assert process.end() == 0
    assert verify(db, process.acknowledged.calls) == 3 * 150 + 20 * 2


def start(db):
    """A spawned process begins with nothing and has no descriptor of ours."""
    ragwheel.configure(db, merge_interval_s=0.01)
    workload.work("ssub", os.open(os.devnull, os.O_WRONLY), 5)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_multiprocessing(db, method):
    ragwheel.configure(db, merge_interval_s=0.01)
    reader, writer = os.pipe()
    os.set_inheritable(writer, True)
    workload.work("par0", writer, 5)
    context = multiprocessing.get_context(method)
    if method == "spawn":
        child = context.Process(target=start, args=(db,))
    else:
        child = context.Process(target=workload.work, args=("fsub", writer, 5))
    child.start()
    child.join(60)
    assert child.exitcode == 0
    workload.work("par1", writer, 5)
    os.close(writer)
    heard = Acknowledged()
    with os.fdopen(reader, "rb") as pipe:
        heard.take(pipe.read())
    heard.calls |= {(f"{method[0]}sub", n, what) for n in range(5) for what in (1, 2, 3)}
    assert verify(db, heard.calls) == 15


def test_the_child_starts_with_nothing_counted(db):
    ragwheel.configure(db, merge_interval_s=60)
    null = os.open(os.devnull, os.O_WRONLY)
    workload.work("par0", null, 3)
    pid = os.fork()
    if pid == 0:
        os._exit(0 if ragwheel.stats().emitted == 0 else 1)
    assert os.waitpid(pid, 0)[1] == 0
    assert ragwheel.stats().emitted == 3 * 3  # a retrieval, a turn and a signal
    os.close(null)
