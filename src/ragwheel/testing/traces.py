"""Databases full of made-up traffic whose truth is known.

:func:`write_traces` writes turns, retrievals, answers with citations and people's signals straight
into the inner tables, without the online half: 100,000 retrievals of 40 chunks take well under a
minute. The same spec and world give the same database, row for row. The user model is deliberately
one that the label stage does not know:

* a person looks at rank *r* of what is displayed with probability ``r ** -examination`` and clicks
  what they looked at with ``p_click_relevant`` or ``p_click_other``;
* an LLM cites relevant chunks of its prompt, seldom those in the middle, and replaces a share
  ``wrong_citation`` of its citations by another chunk of the prompt;
* explicit feedback (delete, thumbs) is rare.
"""

from __future__ import annotations

import json
import random
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import chain
from pathlib import Path
from typing import Any, Final

from ragwheel.store import connect
from ragwheel.store.migrations import migrate
from ragwheel.store.numbers import chunk_number
from ragwheel.store.rows import text_hash
from ragwheel.testing.liars import Liars, lies, question

__all__ = ["TraceSpec", "World", "synthetic_world", "write_traces"]

_BATCH: Final = 5_000
_S: Final = 1_000_000_000


@dataclass(frozen=True)
class TraceSpec:
    """How much traffic, and how people and the LLM behave.

    ``k`` chunks are captured, the app gets ``returned`` of them and the LLM ``prompted``. With
    ``tell_prompted`` / ``tell_shown`` False the app never said so and the exposure is assumed. Span ids and
    sessions come from the numbers of turns, from ``first_turn`` on: the databases of a fleet need numbers of
    their own.
    """

    turns: int = 1_000
    queries: int = 100
    chunks: int = 1_000
    k: int = 40
    returned: int = 10
    prompted: int = 5
    users: int = 200
    turns_per_session: int = 3
    words: int = 40
    relevant: int = 3
    zipf: float = 0.8
    examination: float = 0.7
    p_click_relevant: float = 0.6
    p_click_other: float = 0.06
    p_dwell: float = 0.7
    p_cite_relevant: float = 0.8
    wrong_citation: float = 0.2
    p_explicit: float = 0.02
    clicks: bool = True
    tell_prompted: bool = True
    tell_shown: bool = True
    start_ns: int = 1_700_000_000 * _S
    seconds_between_turns: int = 60
    source: str = "kb"
    seed: int = 0
    first_turn: int = 0


@dataclass(frozen=True)
class World:
    """What can be asked and found: per query its ranking (indices of chunks, best first) and the truth.

    ``grades[q]`` maps chunk indices to human grades above zero; every other chunk is irrelevant to *q*.
    """

    queries: Sequence[str]
    chunks: Sequence[tuple[str, str]]
    rankings: Sequence[Sequence[int]]
    grades: Sequence[Mapping[int, int]]

    def relevant_pairs(self) -> set[tuple[str, str]]:
        """All (query, chunk id of the app's) that are relevant."""
        pairs = zip(self.queries, self.grades)
        return {
            (query, self.chunks[c][0]) for query, grades in pairs for c, grade in grades.items() if grade > 0
        }


def synthetic_world(spec: TraceSpec) -> World:
    """Queries of five made-up words, each with ``relevant`` chunks that a noisy retriever ranks early."""
    rng = random.Random(spec.seed)
    vocabulary = [
        "".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(4, 9))) for _ in range(5_000)
    ]
    chunks = [(f"c{n}", " ".join(rng.choices(vocabulary, k=spec.words))) for n in range(spec.chunks)]
    queries, rankings, grades = [], [], []
    for n in range(spec.queries):
        queries.append(" ".join(rng.choices(vocabulary, k=5)) + f" q{n}?")
        relevant = rng.sample(range(spec.chunks), spec.relevant)
        keys = {c: rng.random() for c in rng.sample(range(spec.chunks), min(spec.k + 10, spec.chunks))}
        keys.update((c, rng.random() * 0.3) for c in relevant)
        rankings.append([c for _, c in sorted((key, c) for c, key in keys.items())])
        grades.append(dict.fromkeys(relevant, 2))
    return World(queries, chunks, rankings, grades)


def write_traces(
    path: str | Path, spec: TraceSpec | None = None, world: World | None = None, *, liars: Liars | None = None
) -> World:
    """Write a new database of ``spec.turns`` turns, one retrieval each; returns the world that it came from.

    Args:
        path: a file that does not exist yet.
        spec: defaults to ``TraceSpec()``.
        world: defaults to ``synthetic_world(spec)``; its rankings may be shorter than ``spec.k``.
        liars: people beside the users who do not mean what they do.

    Raises:
        FileExistsError: there is such a file.
    """
    spec = spec or TraceSpec()
    world = world or synthetic_world(spec)
    path = Path(path)
    if path.exists():
        raise FileExistsError(f"{path} exists; traces are written to a new file only.")
    connection = connect(path, write=True)
    try:
        migrate(connection)
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("BEGIN IMMEDIATE")
        identity = blake2b(repr(spec).encode(), digest_size=8).hexdigest()  # as all else, from the spec alone
        connection.execute("UPDATE _store SET identity = ?", (identity,))
        _write_chunks(connection, spec, world)
        for batch in _batches(spec, world, liars):
            for table, rows in batch.items():
                if rows:
                    columns = ", ".join(_COLUMNS[table])
                    marks = ", ".join("?" for _ in _COLUMNS[table])
                    connection.executemany(f"INSERT INTO {table} ({columns}) VALUES ({marks})", rows)
        connection.execute("COMMIT")
    finally:
        connection.close()
    return world


_COLUMNS: Final[dict[str, tuple[str, ...]]] = {
    "_retrieval": (
        "span_id", "trace_id", "turn_id", "retriever_id", "query", "session_id", "user_id", "start_ns",
        "duration_ns", "top_k", "capture_k", "n_returned", "chunks", "scores",
    ),
    "_turn": (
        "span_id", "trace_id", "revision", "app", "query", "answer", "session_id", "user_id", "start_ns",
        "duration_ns", "prompted", "shown", "citations",
    ),
    "_signal": (
        "span_id", "trace_id", "event_id", "kind", "target", "target_id", "chunk", "rank", "value", "subject",
        "at_ns", "received_ns",
    ),
}  # fmt: skip


def _write_chunks(connection: sqlite3.Connection, spec: TraceSpec, world: World) -> None:
    connection.execute("INSERT INTO _source VALUES (1, ?)", (spec.source,))
    connection.execute("INSERT INTO _retriever VALUES (1, 1, ?, 'v1', 'traces')", (spec.source,))
    texts: dict[str, int] = {}
    for _, text in world.chunks:
        texts.setdefault(text, len(texts) + 1)
    connection.executemany(
        "INSERT INTO _text VALUES (?, ?, ?)",
        ((n, text_hash(text), text) for text, n in texts.items()),
    )
    connection.executemany(
        "INSERT INTO _chunk VALUES (?, 1, ?, ?, NULL, ?, ?)",
        (
            (n, chunk_id, texts[text], spec.start_ns, chunk_number(spec.source, chunk_id, text_hash(text)))
            for n, (chunk_id, text) in enumerate(world.chunks, 1)
        ),
    )


def _batches(
    spec: TraceSpec, world: World, liars: Liars | None
) -> Iterator[dict[str, list[tuple[Any, ...]]]]:
    rng = random.Random(spec.seed + 1)
    popularity = [1.0 / (n + 1) ** spec.zipf for n in range(len(world.queries))]
    asked = rng.choices(range(len(world.queries)), popularity, k=spec.turns)
    batch: dict[str, list[tuple[Any, ...]]] = {table: [] for table in _COLUMNS}
    for turn in chain(_honest(spec, world, rng, asked), _dishonest(spec, world, liars) if liars else ()):
        turn.write(batch)
        if len(batch["_turn"]) == _BATCH:
            yield batch
            batch = {table: [] for table in _COLUMNS}
    yield batch


def _honest(spec: TraceSpec, world: World, rng: random.Random, asked: Sequence[int]) -> Iterator[_Turn]:
    for n, query in enumerate(asked):
        session = (n + spec.first_turn) // spec.turns_per_session
        yield _Turn(spec, world, rng, n, query, f"s{session}", f"u{session % spec.users}")


def _dishonest(spec: TraceSpec, world: World, liars: Liars) -> Iterator[_Turn]:
    """After all the others, and as many turns each as they had, to the nearest."""
    rng = random.Random(f"liars {spec.seed}")
    displayed = [list(ranking[: min(spec.k, spec.returned)]) for ranking in world.rankings]
    each = max(1, round(spec.turns / spec.users))
    for n in range(each * liars.among(spec.users)):
        query = question(liars, rng, displayed)
        name = f"l{n // each}"
        yield _Lie(liars, spec, world, rng, spec.turns + n, query, f"s-{name}", name)


class _Turn:
    """One turn being made up: what was retrieved, prompted, cited and clicked."""

    def __init__(  # noqa: PLR0913, PLR0917 - all that there is to a turn
        self, spec: TraceSpec, world: World, rng: random.Random, n: int, query: int, session: str, user: str
    ) -> None:
        self.spec, self.world, self.rng, self.query = spec, world, rng, query
        number = n + spec.first_turn
        self.turn_id = (2 * number + 1).to_bytes(8, "big")
        self.retrieval_id = (2 * number + 2).to_bytes(8, "big")
        self.trace_id = (number + 1).to_bytes(16, "big")
        self.session, self.user = session, user
        self.at_ns = spec.start_ns + n * spec.seconds_between_turns * _S
        self.signals: list[tuple[Any, ...]] = []
        ranked = list(world.rankings[query][: spec.k])
        for i in range(len(ranked) - 1):  # the same retriever, a little different every time
            if rng.random() < 0.2:
                ranked[i], ranked[i + 1] = ranked[i + 1], ranked[i]
        self.ranked = ranked

    def write(self, batch: dict[str, list[tuple[Any, ...]]]) -> None:
        """Append this turn's rows."""
        spec, hexed = self.spec, self.retrieval_id.hex()
        returned = min(spec.returned, len(self.ranked))
        prompted = [[hexed, rank] for rank in range(1, min(spec.prompted, returned) + 1)]
        shown = [[hexed, rank] for rank in range(1, returned + 1)]
        text = self.world.queries[self.query]
        citations = self._citations(len(prompted))
        if spec.clicks:
            self._behave(returned)
        who = (self.session, self.user, self.at_ns, 5_000_000)
        scores = [round(1.0 - i / (len(self.ranked) + 1), 4) for i in range(len(self.ranked))]
        batch["_retrieval"].append(
            (self.retrieval_id, self.trace_id, self.turn_id, 1, text, *who, returned, spec.k, returned,
             _json([c + 1 for c in self.ranked]), _json(scores))
        )  # fmt: skip
        answer = "Answer. " + " ".join(c["marker"] for c in citations)
        batch["_turn"].append(
            (self.turn_id, self.trace_id, 1, "traces", text, answer, *who,
             _json(prompted) if spec.tell_prompted else None, _json(shown) if spec.tell_shown else None,
             _json(citations))
        )  # fmt: skip
        batch["_signal"].extend(self.signals)

    def _relevant(self, rank: int) -> bool:
        return self.world.grades[self.query].get(self.ranked[rank - 1], 0) > 0

    def _citations(self, prompted: int) -> list[dict[str, Any]]:
        cited: list[int] = []
        for rank in range(1, prompted + 1):
            middle = 1.0 if rank in (1, prompted) else 0.6
            if self._relevant(rank) and self.rng.random() < self.spec.p_cite_relevant * middle:
                wrong = self.rng.random() < self.spec.wrong_citation
                cited.append(self.rng.randint(1, prompted) if wrong else rank)
        return [
            {"marker": f"[{rank}]", "retrieval": self.retrieval_id.hex(), "rank": rank, "method": "marker",
             "source": self.spec.source, "chunk": self.world.chunks[self.ranked[rank - 1]][0]}
            for rank in sorted(set(cited))
        ]  # fmt: skip

    def _behave(self, returned: int) -> None:
        spec, rng = self.spec, self.rng
        for rank in range(1, returned + 1):
            if rng.random() >= rank**-spec.examination:
                continue
            relevant = self._relevant(rank)
            if rng.random() < spec.p_explicit:
                self._signal("thumbs_up" if relevant else rng.choice(("delete", "thumbs_down")), rank)
            elif rng.random() < (spec.p_click_relevant if relevant else spec.p_click_other):
                self._signal("click", rank)
                if rng.random() < spec.p_dwell:
                    self._signal("dwell", rank, rng.uniform(8, 60) if relevant else rng.uniform(0.5, 8))

    def _signal(self, kind: str, rank: int, value: float | None = None) -> None:
        n = len(self.signals)
        digest = blake2b(self.retrieval_id + n.to_bytes(1 if n < 256 else 4, "big"), digest_size=8).digest()
        at_ns = self.at_ns + (n + 5) * _S
        chunk_id = self.world.chunks[self.ranked[rank - 1]][0]
        self.signals.append(
            (digest, self.trace_id, digest.hex(), kind, 0, self.retrieval_id, chunk_id, rank, value,
             self.user, at_ns, at_ns)
        )  # fmt: skip


class _Lie(_Turn):
    """The turn of a liar."""

    def __init__(self, liars: Liars, *turn: Any) -> None:
        super().__init__(*turn)
        self.liars = liars

    def _behave(self, returned: int) -> None:
        for kind, rank, value in lies(self.liars, self.rng, self.ranked[:returned]):
            self._signal(kind, rank, value)


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
