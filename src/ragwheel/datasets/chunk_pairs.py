"""Pairs of chunks from ``more_like_this``: somebody asked for more like one, and then used another."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, Final

import pyarrow as pa
from ibis import _

from ragwheel.datasets.assemble import Row, seeded
from ragwheel.datasets.splits import Group
from ragwheel.kinds import CHUNK_PAIRS
from ragwheel.labels.negatives import GradedChunk
from ragwheel.labels.policy import Policy
from ragwheel.labels.reasons import Reason
from ragwheel.labels.traces.exposure import Facts
from ragwheel.labels.traces.text import normalise

__all__ = ["chunk_pairs"]

_NS: Final = 1_000_000_000


def chunk_pairs(
    facts: Facts, splits: Mapping[str, str], policy: Policy, *, seed: int, dropped: Counter[str]
) -> list[tuple[str, Group, Row]]:
    """(split, query group, row) of every pair: ``anchor`` is the chunk that more was asked for like.

    ``positive`` is a chunk that the same person used afterwards, in the same session or retrieval, within the
    policy's ``reformulation.window_s``. A pair is in the split of the query it was asked under; where the
    other chunk was used under a query of another split, or in a session of a test query, it is dropped and
    counted.
    """
    if not facts.engine.count(facts.acts.filter(_.kind == "more_like_this")):
        return []
    named = facts.engine.arrow(facts.chunks.select("chunk_version", "source", "chunk_id", "text_id"))
    texts = {row["chunk_version"]: row for row in named.to_pylist()}
    tested = _test_sessions(facts, splits)
    by_pair: defaultdict[tuple[int, int], list[dict[str, Any]]] = defaultdict(list)
    for row in _uses(facts, policy):
        split = splits.get(row["query_key"], "train")
        if splits.get(row["used_key"], split) != split:
            dropped["chunk pair: used under a query of another split"] += 1
        elif split == "train" and row["session_id"] in tested:
            dropped["chunk pair: from a session that a test query belongs to"] += 1
        else:
            by_pair[row["chunk_version"], row["used"]].append({**row, "split": split})
    made = []
    for (anchor, positive), rows in by_pair.items():
        split = max((row["split"] for row in rows), key=("train", "dev", "test").index)
        first = min(rows, key=lambda row: (row["at_ns"], row["signal_id"]))
        group = Group(first["query_key"], first["query_key"], "", first["at_ns"])
        chunks = [_chunk(facts, texts[version], rows) for version in (anchor, positive)]
        if not all(chunk.text.strip() for chunk in chunks) or _same(*chunks):
            dropped["chunk pair: without text, or both have the same"] += 1
            continue
        values = {"anchor": chunks[0].text, "positive": chunks[1].text}
        made.append((split, group, Row("chunk_pairs", values, tuple(zip(("anchor", "positive"), chunks)))))
    made.sort(key=lambda row: seeded(seed, *(chunk.chunk_version for _, chunk in row[2].chunks)))
    return made


def _uses(facts: Facts, policy: Policy) -> Iterator[dict[str, Any]]:
    columns = ("rid", "session_id", "subject", "at_ns", "chunk_version", "query_key", "signal_id")
    asked = facts.acts.filter(_.kind == "more_like_this").select(*columns, "retrieval_id", "turn_id")
    used = facts.acts.filter(_.kind.isin(CHUNK_PAIRS)).select(
        "subject",
        used_rid="rid",
        used_session="session_id",
        used_ns="at_ns",
        used="chunk_version",
        used_key="query_key",
        used_signal="signal_id",
    )
    rows = asked.join(used, "subject")
    near = (rows.used_ns >= rows.at_ns) & (
        rows.used_ns <= rows.at_ns + int(policy.reformulation.window_s * _NS)
    )
    same = (rows.rid == rows.used_rid) | (rows.session_id == rows.used_session).fill_null(False)
    rows = rows.filter(near & same & (rows.chunk_version != rows.used))
    yield from facts.engine.arrow(rows.order_by("at_ns", "signal_id", "used_signal")).to_pylist()


def _test_sessions(facts: Facts, splits: Mapping[str, str]) -> set[str]:
    keys = pa.array(sorted(key for key, split in splits.items() if split == "test"), pa.string())
    tested = facts.engine.register("tested_groups", pa.table({"query_key": keys}))
    rows = facts.retrievals.filter(_.session_id.notnull()).semi_join(tested, "query_key")
    return set(facts.engine.arrow(rows.select("session_id").distinct())["session_id"].to_pylist())


def _chunk(facts: Facts, named: Mapping[str, Any], rows: list[dict[str, Any]]) -> GradedChunk:
    people = len({row["subject"] for row in rows})
    reason = Reason(
        kind="more_like_this",
        direction=1,
        n=len(rows),
        subjects=people,
        text=f"{people} asked for more like one and then used the other",
        retrieval_ids=tuple(dict.fromkeys(row["retrieval_id"] for row in rows[:3])),
        turn_ids=tuple(dict.fromkeys(row["turn_id"] for row in rows[:3] if row["turn_id"])),
        signal_ids=tuple(
            dict.fromkeys(row[name] for row in rows[:3] for name in ("signal_id", "used_signal"))
        ),
    )
    return GradedChunk(
        chunk_version=named["chunk_version"],
        source=named["source"],
        chunk_id=named["chunk_id"],
        text_id=named["text_id"],
        text=facts.text_of(named["text_id"]),
        status="positive",
        grade=4.0,
        confidence=1 - 0.5**people,
        strategy=None,
        closeness=None,
        reasons=(reason,),
    )


def _same(anchor: GradedChunk, positive: GradedChunk) -> bool:
    return anchor.text_id == positive.text_id or normalise(anchor.text) == normalise(positive.text)
