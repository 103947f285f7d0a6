"""Generators that are abandoned, closed or cancelled halfway, under load, in processes that are killed."""

import asyncio
import json
import os
import random
import signal
import threading

import pytest
from tests.torture import workload
from tests.torture.counts import count
from tests.torture.workload import FULL, SEED, chunks_of

import ragwheel
from ragwheel.store import open_store

PROCESSES, STEPS = (40, 60) if FULL else (3, 20)
HOW = ("used up", "closed", "abandoned", "thrown into")


@ragwheel.retriever(source="kb")
def generated(query):
    name, n = query.split("/")
    yield from chunks_of(name, int(n))


@ragwheel.retriever(source="kb")
async def generated_async(query):
    name, n = query.split("/")
    for chunk in chunks_of(name, int(n)):
        yield chunk
        await asyncio.sleep(0)


class Stop(Exception):
    pass


def use(query, how, n_items):
    """Take so many items, then leave the generator in one of the ways; how many were taken."""
    generator = generated(query)
    items = [next(generator) for _ in range(n_items)]
    if how == "used up":
        items += generator
    elif how == "closed":
        generator.close()
    elif how == "thrown into":
        with pytest.raises(Stop):
            generator.throw(Stop())
    else:
        del generator
    return len(items)


async def cancelled(query, n_items):
    """A task that is cancelled while it waits between two items."""
    taken = []
    halfway = asyncio.Event()

    async def task():
        agenerator = generated_async(query)
        try:
            async for item in agenerator:
                taken.append(item)
                if len(taken) == n_items:
                    halfway.set()
                    await asyncio.Event().wait()
        finally:
            await agenerator.aclose()

    running = asyncio.create_task(task())
    await halfway.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    return len(taken)


async def many_cancelled(name, rng, tell):
    async def one(n):
        query = f"{name}/{n}"
        tell(query, "cancelled", await cancelled(query, rng.randrange(1, 6)))

    for n in range(0, STEPS, 5):
        await asyncio.gather(*(one(n + i) for i in range(5)))


def body(number):
    """Two threads of generators and one of tasks; each retrieval is told of when it is over."""

    def work(pipe):
        def tell(query, how, n_items):
            os.write(pipe, json.dumps([query, how, n_items]).encode() + b"\n")

        def sync(name):
            rng = random.Random(f"{SEED}/{name}")
            for n in range(STEPS):
                query, how = f"{name}/{n}", rng.choice(HOW)
                tell(query, how, use(query, how, rng.randrange(1, 6)))

        def tasks(name):
            asyncio.run(many_cancelled(name, random.Random(f"{SEED}/{name}"), tell))

        threads = [
            threading.Thread(target=target, args=(f"{number}{letter}",))
            for letter, target in (("a", sync), ("b", sync), ("c", tasks))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        workload.counted()
        assert ragwheel.stats().emitted == 3 * STEPS
        os.kill(os.getpid(), signal.SIGKILL)

    return work


def told(process):
    """What the process told of before it was gone."""
    with os.fdopen(process.pipe, "rb") as pipe:
        lines = pipe.read().splitlines()
    assert os.waitstatus_to_exitcode(os.waitpid(process.pid, 0)[1]) == -9
    return [json.loads(line) for line in lines]


def test_every_generator_is_recorded_as_far_as_it_went(tmp_path):
    db = tmp_path / "app.db"
    expected = {}
    for number in range(PROCESSES):
        process = workload.Process(db, body(number), merge_interval_s=0.005)
        for query, how, n_items in told(process):
            expected[query] = how, n_items
            count(f"generators {how}")
    assert len(expected) == PROCESSES * 3 * STEPS
    connection = open_store(db)
    found: dict[str, list[str]] = {
        query: [] for (query,) in connection.execute("SELECT query FROM retrievals")
    }
    assert connection.execute("SELECT count(*) FROM retrievals").fetchone() == (len(expected),)
    for query, chunk in connection.execute(
        "SELECT query, chunk_id FROM retrievals JOIN impressions USING (retrieval_id) ORDER BY query, rank"
    ):
        found[query].append(chunk)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()
    for query, (how, n_items) in expected.items():
        name, n = query.split("/")
        whole = [chunk["id"] for chunk in chunks_of(name, int(n))]
        assert found[query] == ([] if how == "thrown into" else whole[:n_items]), (query, how)
