#!/usr/bin/env python3
"""Which questions lend each other their evidence, and how often wrongly? On collections of known needs.

    python benchmarks/labels/crowds/merges.py --data FOLDER                      # development: seeds 0 to 3
    python benchmarks/labels/crowds/merges.py --data FOLDER --first-seed 1000    # a report

A crowd asks every need in several wordings (``paraphrases``), or in one. Two wordings that the store returned
nearly the same chunks for are *close*; a couple of two needs is a *false merge*. What a chunk gets lent
counts as wrong where it points away from the truth: for an irrelevant chunk, or against a relevant one.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Final

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[2])  # import the folder above as the package `labels`

import numpy as np
from ibis import _

from labels.crowds.crowd import draw_crowd
from labels.crowds.replay import replay
from labels.crowds.run import COLLECTIONS
from labels.crowds.turns import Exposures, simulate
from labels.worlds import World
from ragwheel.labels import load_policy
from ragwheel.labels.engines.engine import DuckDBEngine
from ragwheel.labels.evidence.collect import collect
from ragwheel.labels.model.beliefs import channel_totals, single_readings
from ragwheel.labels.model.learning import learn
from ragwheel.labels.model.pooling import close_questions, lent
from ragwheel.labels.model.subject_caps import MICRO
from ragwheel.labels.traces.exposure import facts
from ragwheel.labels.traces.read import TextReader, read_store
from ragwheel.labels.traces.text import query_key
from ragwheel.store import open_store

__all__ = ["Merges", "main", "measure"]

_CLEAR: Final = 0.2  # log-odds from which what is lent is counted


@dataclass(frozen=True)
class Merges:
    """What pooling does in one store.

    Attributes:
        couples: of close wordings; ``false`` are of two needs, ``possible`` the couples that are of one.
        chunks: pairs that get lent something; ``wrong`` in the wrong direction.
    """

    collection: str
    seed: int
    couples: int
    false: int
    possible: int
    chunks: int
    wrong: int


def main(arguments: list[str] | None = None) -> int:
    """Run the command, and return its exit status."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--data", type=Path, required=True, help="folder with the collections")
    options.add_argument("--first-seed", type=int, default=0)
    options.add_argument("--seeds", type=int, default=4, help="crowds per collection (default: 4)")
    options.add_argument("--turns", type=int, default=2_000, help="turns per crowd (default: 2,000)")
    options.add_argument("--collections", nargs="+", choices=list(COLLECTIONS), default=list(COLLECTIONS))
    asked = options.parse_args(arguments)
    print("| collection | seed | close couples | of two needs | of couples of one need, close |", end="")
    print(" chunks lent to | in the wrong direction |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name in asked.collections:
        world = COLLECTIONS[name](asked.data)
        for seed in range(asked.first_seed, asked.first_seed + asked.seeds):
            row = measure(world, seed, asked.turns)
            print(
                f"| {row.collection} | {row.seed} | {row.couples:,} | {_share(row.false, row.couples)} | "
                f"{_share(row.couples - row.false, row.possible)} | {row.chunks:,} | "
                f"{_share(row.wrong, row.chunks)} |",
                flush=True,
            )
    return 0


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%} ({part:,})" if whole else "–"


def measure(world: World, seed: int, turns: int) -> Merges:
    """One crowd on one collection."""
    crowd = draw_crowd(seed)
    rows = simulate(world, crowd, turns)
    with tempfile.TemporaryDirectory(prefix="ragwheel-merges-") as folder:
        db = Path(folder) / "traces.db"
        replay(db, rows, crowd)
        couples, loans = _pooled(db)
    needs = rows.world.needs
    by_key = {query_key(wording): wording for wording in rows.wordings}
    asked = np.unique(rows.wording)
    sizes = Counter(needs[rows.wordings[n]] for n in asked)
    false = sum(needs[by_key[one]] != needs[by_key[other]] for one, other in couples)
    wrong = sum((value > 0) != _relevant(rows, by_key[key], chunk) for key, chunk, value in loans)
    possible = sum(len(list(combinations(range(n), 2))) for n in sizes.values())
    return Merges(world.name, seed, len(couples), false, possible, len(loans), wrong)


def _relevant(rows: Exposures, wording: str, chunk: str) -> bool:
    return rows.world.grades[rows.world.needs[wording]].get(chunk, 0) > 0


def _pooled(db: Path) -> tuple[list[tuple[str, str]], list[tuple[str, str, float]]]:
    """Return the couples of close questions, each once, and (query key, chunk id, log-odds) that are lent."""
    policy = load_policy()
    with closing(open_store(db)) as connection, DuckDBEngine(threads=1) as engine:
        store = facts(engine, read_store(connection), TextReader(connection))
        evidence = collect(store, policy)
        model = learn(store, evidence, policy)
        channels = channel_totals(single_readings(engine, evidence, policy, model), policy, model)
        totals = channels.group_by("query_key", "chunk_version").agg(log_odds=_.net.sum().cast("int64"))
        totals = engine.keep("own_totals", totals)
        loans = lent(store, totals, policy).join(
            store.chunks.select("chunk_version", "chunk_id"), "chunk_version"
        )
        rows = engine.arrow(loans.select("query_key", "chunk_id", "lent")).to_pylist()
        close = engine.arrow(close_questions(store, policy).filter(_.query_key < _.other)).to_pylist()
    values = [(row["query_key"], row["chunk_id"], row["lent"] / MICRO) for row in rows]
    clear = [loan for loan in values if abs(loan[2]) >= _CLEAR]
    return [(row["query_key"], row["other"]) for row in close], clear


if __name__ == "__main__":
    sys.exit(main())
