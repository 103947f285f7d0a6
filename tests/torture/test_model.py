"""A state machine against a plain model: whatever happens in whatever order, what returned is there, once."""

import os
import shutil
import sys
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.torture.counts import count
from tests.torture.earlier import had
from tests.torture.workload import FULL

import ragwheel
from ragwheel.guard import guard
from ragwheel.journal import files, writer
from ragwheel.store import erase, merge_journal, migrations, open_store

CONNECT = sys.modules["ragwheel.store.connect"]  # the package has a function of that name
STEPS = migrations.STEPS


def believe(version):
    """Be a ragwheel that knows the schemas up to this one."""
    for module, name, value in had(version):
        setattr(module, name, value)
    for module in (migrations, CONNECT):
        vars(module)["SCHEMA_VERSION"] = version


IDS = st.sampled_from("abcdef")
TEXTS = st.sampled_from(["one", "two", "three " * 40, "zwölf \U0001f600"])
CHUNKS = st.lists(st.tuples(IDS, TEXTS), max_size=5, unique_by=lambda chunk: chunk[0])
SESSIONS = st.sampled_from(["s1", "s2"])


class Wheel(RuleBasedStateMachine):
    """The model: the chunks of each query, its session, its answer and its signals."""

    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.db = self.folder / "app.db"
        self.segment_bytes, writer.SEGMENT_BYTES = writer.SEGMENT_BYTES, 2_000
        self.n = 0
        self.chunks: dict[str, list[tuple[str, str]]] = {}
        self.sessions: dict[str, str] = {}
        self.answers: dict[str, str] = {}
        self.signals: dict[str, str] = {}
        self.handles: dict[str, str] = {}

    @initialize(version=st.integers(1, len(STEPS)))
    def made_by_an_earlier_ragwheel(self, version):
        believe(version)
        self.begin()

    @rule()
    def migrate(self):
        """The next ragwheel is installed: whoever merges or reads first brings the database up to date."""
        believe(min(migrations.SCHEMA_VERSION + 1, len(STEPS)))
        self.reopen()

    def begin(self):
        self.runtime = ragwheel.configure(self.db, merge_interval_s=60, sync_interval_s=60)

    @rule(chunks=CHUNKS, session=SESSIONS, answered=st.booleans())
    def capture(self, chunks, session, answered):
        self.n += 1
        query = f"query {self.n}"
        with ragwheel.turn(session_id=session) as turn:
            recorder = ragwheel.start_retrieval(query, source="kb")
            recorder.finish([{"id": id, "text": text} for id, text in chunks])
            if answered:
                turn.answer(f"answer {self.n}")
                self.answers[query] = f"answer {self.n}"
        self.chunks[query], self.sessions[query], self.handles[query] = chunks, session, turn.handle

    @precondition(lambda self: self.handles)
    @rule(data=st.data(), again=st.booleans())
    def signal(self, data, again):
        query = data.draw(st.sampled_from(sorted(self.handles)))
        self.n += 1
        event = f"event {self.n}"
        for _ in range(1 + again):
            assert ragwheel.signal(self.handles[query], "thumbs_up", event_id=event)
        self.signals[event] = query

    @rule()
    def kill(self):
        """What a kill leaves of the process: files whose locks are free."""
        journal = self.runtime._journal
        for segment in (*journal._full, *([journal.segment] if journal.segment else [])):
            files.release_segment(segment.fd)
        journal.reset()
        self.runtime._merger._stop.set()
        self.runtime._merger._work.set()
        self.begin()

    @rule()
    def reopen(self):
        ragwheel.shutdown()
        self.begin()

    @rule()
    def flush(self):
        assert ragwheel.flush()
        stats = ragwheel.stats()
        assert stats.journalled == 0
        assert stats.emitted == stats.stored + sum(stats.dropped.values())

    @rule()
    def merge_elsewhere(self):
        merge_journal(self.db)

    @rule()
    def sync(self):
        self.runtime._journal.sync()

    @rule(chunks=CHUNKS)
    def fork(self, chunks):
        """A child records something too and is killed."""
        self.n += 1
        query = f"query {self.n}"
        pid = os.fork()
        if pid == 0:
            ragwheel.start_retrieval(query, source="kb").finish([{"id": i, "text": t} for i, t in chunks])
            os.kill(os.getpid(), 9)
        os.waitpid(pid, 0)
        self.chunks[query] = chunks

    @precondition(lambda self: self.n and len(STEPS) == migrations.SCHEMA_VERSION)
    @rule(session=SESSIONS)
    def erase(self, session):
        erase(self.db, session=session)
        gone = {query for query, of in self.sessions.items() if of == session}
        for kept in (self.chunks, self.sessions, self.answers, self.handles):
            for query in gone:
                kept.pop(query, None)
        self.signals = {event: query for event, query in self.signals.items() if query not in gone}

    @rule()
    def restore(self):
        """A copy of the database, made a moment ago and moved back in its place."""
        merge_journal(self.db)
        shutil.copy(self.db, self.folder / "copy")
        (self.folder / "copy").replace(self.db)

    @invariant()
    def all_is_there(self):
        if not self.chunks:
            return
        connection = open_store(self.db)
        try:
            ask = connection.execute
            found: dict[str, list[tuple[str, str]]] = {
                query: [] for (query,) in ask("SELECT query FROM retrievals")
            }
            for query, id, text in ask(
                "SELECT r.query, i.chunk_id, c.text FROM retrievals r JOIN impressions i USING (retrieval_id)"
                " JOIN chunks c USING (chunk_version) ORDER BY r.query, i.rank"
            ):
                found[query].append((id, text))
            assert found == self.chunks
            assert [n for (n,) in ask("SELECT count(*) FROM retrievals")] == [len(self.chunks)]
            answers = ask(
                "SELECT r.query, t.answer FROM turns t JOIN retrievals r USING (turn_id)"
                " WHERE answer IS NOT NULL"
            )
            assert dict(answers.fetchall()) == self.answers
            assert {event for (event,) in ask("SELECT event_id FROM signals")} == set(self.signals)
            assert ask("PRAGMA integrity_check").fetchall() == [("ok",)]
        finally:
            connection.close()

    def teardown(self):
        ragwheel.shutdown()
        count("state machines run")
        believe(len(STEPS))
        writer.SEGMENT_BYTES = self.segment_bytes
        shutil.rmtree(self.folder)
        guard.reset()


TestWheel = Wheel.TestCase
TestWheel.settings = settings(max_examples=150 if FULL else 25, stateful_step_count=30, deadline=None)
