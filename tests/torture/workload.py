"""What the tortured processes do, and the oracle outside of them that knows what was acknowledged.

A process works through numbered steps. After each call that has returned it writes one acknowledgement
to a pipe; what step *n* recorded follows from the process's name and *n* alone, so that whoever holds the
other end of the pipe knows, without asking the process, what must be in the database.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import struct
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.torture.counts import count

import ragwheel
from ragwheel.store import open_store

ACK = struct.Struct("<4sIB")
RETRIEVED, ANSWERED, SIGNALLED = 1, 2, 3
CHUNKS = 40
FULL = os.environ.get("RAGWHEEL_TORTURE") == "full"
SEED = int(os.environ.get("RAGWHEEL_TORTURE_SEED", "1"))


def chunks_of(name: str, n: int) -> list[dict[str, str]]:
    """The chunks of a step: some that every process knows, some whose text changes, some of its own."""
    rng = random.Random(f"{name}/{n}")
    ids = [*rng.sample(range(CHUNKS), 4), CHUNKS + rng.randrange(10)]
    texts = [f"chunk {i} " * 20 for i in ids[:4]] + [f"chunk {ids[4]} of version {n % 3} " * 20]
    own = {"id": f"{name}-{n // 2}", "text": f"seen twice: {name}-{n // 2} " * 10}
    return [{"id": str(i), "text": text} for i, text in zip(ids, texts, strict=True)] + [own]


@dataclass
class Acknowledged:
    """What the pipe said: ``(name, n, what)``."""

    calls: set[tuple[str, int, int]] = field(default_factory=set)

    def take(self, data: bytes) -> None:
        """Take in whole acknowledgements."""
        for name, n, what in ACK.iter_unpack(data[: len(data) // ACK.size * ACK.size]):
            self.calls.add((name.rstrip(b"\0").decode(), n, what))


@ragwheel.retriever(source="kb")
def search(query: str) -> list[dict[str, str]]:
    """A retriever that returns the chunks of the step that the query names."""
    name, n = query.split("/")
    return chunks_of(name, int(n))


def step(name: str, n: int, pipe: int) -> None:
    """One question: retrieve, answer, click; each acknowledged as soon as it has returned."""

    def acknowledge(what: int) -> None:
        os.write(pipe, ACK.pack(name.encode(), n, what))

    with ragwheel.turn(session_id=name) as turn:
        search(f"{name}/{n}")
        acknowledge(RETRIEVED)
        turn.answer(f"answer {name}/{n} [1]", reasoning=f"as {name}/{n} says")
        acknowledge(ANSWERED)
    if ragwheel.signal(turn.handle, "click", rank=1, event_id=f"{name}/{n}"):
        acknowledge(SIGNALLED)


def work(name: str, pipe: int, steps: int) -> None:
    """Steps in a row."""
    for n in range(steps):
        step(name, n, pipe)


def threads_and_tasks(name: str, pipe: int, steps: int) -> None:
    """The same from four threads, two of which run tasks."""

    async def task(name: str) -> None:
        for n in range(steps):
            step(name, n, pipe)
            await asyncio.sleep(0)

    async def tasks(name: str) -> None:
        await asyncio.gather(*(task(f"{name}{i}") for i in "xy"))

    workers = [threading.Thread(target=work, args=(f"{name[:2]}{i}", pipe, steps)) for i in "ab"]
    workers += [threading.Thread(target=lambda i=i: asyncio.run(tasks(f"{name[:2]}{i}"))) for i in "cd"]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


Ending = Callable[[], object]
ENDINGS: dict[str, Ending] = {
    "returns": lambda: None,
    "sys.exit": lambda: sys.exit(3),
    "os._exit": lambda: os._exit(3),
    "raises": lambda: 1 / 0,
    "SIGTERM": lambda: os.kill(os.getpid(), signal.SIGTERM),
    "SIGKILL": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "shuts down": ragwheel.shutdown,
    "flushes": ragwheel.flush,
}


class Process:
    """A forked process that configures ``db`` for itself and works until it ends or is killed."""

    def __init__(self, db: Path, body: Callable[[int], object], **settings: object) -> None:
        self.acknowledged = Acknowledged()
        reader, writer = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(reader)
            code = 1
            try:
                ragwheel.configure(db, **settings)
                body(writer)
                code = 0
            except SystemExit as exc:
                code = int(exc.code or 0)
            except BaseException as exc:
                os.write(2, f"tortured process: {exc!r}\n".encode())
            finally:
                os._exit(code)
        os.close(writer)
        self.pipe = reader
        self._rest = b""

    def read(self, at_least: int = 0) -> bool:
        """Take in acknowledgements until there are so many, or all (0); False when it has ended."""
        while not at_least or len(self.acknowledged.calls) < at_least:
            data = os.read(self.pipe, 65536)
            if not data:
                return False
            self._rest += data
            whole = len(self._rest) // ACK.size * ACK.size
            self.acknowledged.take(self._rest[:whole])
            self._rest = self._rest[whole:]
        return True

    def kill(self) -> None:
        """SIGKILL, now."""
        count("SIGKILLs at random points")
        os.kill(self.pid, signal.SIGKILL)

    def end(self) -> int:
        """Read to the end and reap; the exit code, negative for a signal."""
        self.read()
        os.close(self.pipe)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def verify(db: Path, acknowledged: set[tuple[str, int, int]], *, holes: bool = False) -> int:
    """Everything acknowledged is there, whole, once and under its own turn; how many retrievals there are.

    ``holes``: the disk lost parts of the journal, so what was *not* acknowledged may lack chunks and says so.
    """
    connection = open_store(db, timeout_s=30)
    try:
        ask = connection.execute
        assert ask("PRAGMA integrity_check").fetchall() == [("ok",)]
        queries = [row[0] for row in ask("SELECT query FROM retrievals")]
        assert len(queries) == len(set(queries)), "a retrieval is there twice"
        rankings: dict[str, list[tuple[str, str]]] = {query: [] for query in queries}
        for query, chunk, text in ask(
            "SELECT r.query, i.chunk_id, c.text FROM retrievals r JOIN impressions i USING (retrieval_id)"
            " JOIN chunks c USING (chunk_version) ORDER BY r.retrieval_id, i.rank"
        ):
            rankings[query].append((chunk, text))
        known = {f"{name}/{n}" for name, n, what in acknowledged if what == RETRIEVED}
        flagged = {row[0] for row in ask("SELECT query FROM retrievals WHERE flags LIKE '%chunk_lost%'")}
        assert not flagged or holes
        for query, ranking in rankings.items():  # also those not acknowledged: whole or not at all
            name, n = query.split("/")
            whole = [(chunk["id"], chunk["text"]) for chunk in chunks_of(name, int(n))]
            assert ranking == whole or (query in flagged - known and set(ranking) < set(whole)), query
        elsewhere = (
            "SELECT r.query, t.session_id, t.answer FROM retrievals r JOIN turns t USING (turn_id)"
            " WHERE t.answer <> 'answer ' || r.query || ' [1]' OR t.reasoning <> 'as ' || r.query || ' says'"
            " OR t.session_id <> substr(r.query, 1, instr(r.query, '/') - 1)"
        )
        assert ask(elsewhere).fetchall() == [], "a retrieval stands under another's turn"
        answers = {row[0] for row in ask("SELECT answer FROM turns WHERE answer IS NOT NULL")}
        events = [row[0] for row in ask("SELECT event_id FROM signals")]
        assert len(events) == len(set(events))
        have = set(queries)
        wanted = {what: {f"{name}/{n}" for name, n, w in acknowledged if w == what} for what in (1, 2, 3)}
        assert wanted[RETRIEVED] <= have, sorted(wanted[RETRIEVED] - have)[:5]
        assert {f"answer {key} [1]" for key in wanted[ANSWERED]} <= answers
        count("databases verified")
        count("acknowledged calls found again", len(acknowledged))
        assert wanted[SIGNALLED] <= set(events), sorted(wanted[SIGNALLED] - set(events))[:5]
        return len(queries)
    finally:
        connection.close()


def counted() -> None:
    """The process's own counts add up."""
    stats = ragwheel.stats()
    assert stats.emitted == stats.stored + stats.journalled + sum(stats.dropped.values()), stats
    assert stats.journalled >= 0, stats
