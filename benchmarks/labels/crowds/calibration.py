#!/usr/bin/env python3
"""Do fifty, a hundred, two hundred judgments by people make beliefs right? Measured on questions without any.

    python benchmarks/labels/crowds/calibration.py --data FOLDER                 # development: seeds 0 to 3
    python benchmarks/labels/crowds/calibration.py --data FOLDER --first-seed 1000   # a report

The crowds are those of ``run.py``. Half of the questions may be judged: the pairs that
``ragwheel grade --check`` asks about first get the grade that the collection has. Beliefs are compared with
the truth on the pairs of the other half: without judgments, with judgments as anchors of the label model
alone, and recalibrated on them, too.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path
from statistics import mean
from typing import Final

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[2])  # import the folder above as the package `labels`

import numpy as np

from labels.crowds.crowd import draw_crowd
from labels.crowds.figures import Units
from labels.crowds.replay import replay
from labels.crowds.run import COLLECTIONS
from labels.crowds.turns import Exposures, simulate
from labels.worlds import World
from ragwheel.judgments import Judgment, candidates, judge_many
from ragwheel.labels.engines.engine import DuckDBEngine
from ragwheel.labels.model.beliefs import beliefs
from ragwheel.labels.pipeline import grade_store
from ragwheel.labels.policy import load_policy
from ragwheel.labels.traces.read import TextReader, read_store
from ragwheel.labels.traces.text import query_key
from ragwheel.store import open_store

__all__ = ["JudgedResult", "calibration_table", "main", "measure"]

COUNTS: Final = (50, 100, 200)


@dataclass(frozen=True)
class JudgedResult:
    """Expected calibration error on questions without judgments, and recall at 90 % precision there.

    ``judged`` is the number of judgments; ``without``, ``anchored`` and ``recalibrated`` are the errors.
    """

    collection: str
    seed: int
    judged: int
    pairs: int
    without: float
    anchored: float
    recalibrated: float


def parser() -> argparse.ArgumentParser:
    """The command line."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--data", type=Path, required=True, help="folder with the collections")
    options.add_argument("--first-seed", type=int, default=0)
    options.add_argument("--seeds", type=int, default=4, help="crowds per collection (default: 4)")
    options.add_argument("--turns", type=int, default=2_000, help="turns per crowd (default: 2,000)")
    options.add_argument("--collections", nargs="+", choices=list(COLLECTIONS), default=list(COLLECTIONS))
    options.add_argument("--judged", nargs="+", type=int, default=list(COUNTS), help="numbers of judgments")
    options.add_argument("--json", action="store_true", help="print the results as JSON, no table")
    return options


def main(arguments: list[str] | None = None) -> int:
    """Run the command, and return its exit status."""
    options = parser().parse_args(arguments)
    results: list[JudgedResult] = []
    for name in options.collections:
        world = COLLECTIONS[name](options.data)
        for seed in range(options.first_seed, options.first_seed + options.seeds):
            results += measure(world, seed, options.turns, options.judged)
            for result in results[-len(options.judged) :]:
                print(
                    f"{name}, seed {seed}, {result.judged} judged: without {result.without:.3f}, "
                    f"anchored {result.anchored:.3f}, recalibrated {result.recalibrated:.3f}",
                    file=sys.stderr, flush=True,
                )  # fmt: skip
    print(json.dumps([asdict(result) for result in results]) if options.json else calibration_table(results))
    return 0


def measure(world: World, seed: int, turns: int, counts: Sequence[int]) -> list[JudgedResult]:
    """One crowd on one collection, judged step by step."""
    crowd = draw_crowd(seed)
    rows = simulate(world, crowd, turns)
    units = Units(rows)
    held = np.array([_held(rows, wording) for wording, _chunk in units.names])
    folder = Path(tempfile.mkdtemp(prefix="ragwheel-calibration-"))
    try:
        db = folder / "traces.db"
        replay(db, rows, crowd)
        without = _errors(units, held, db)[0]
        results = []
        previous = 0
        for count in sorted(counts):
            _judge(db, rows, count - previous)
            previous = count
            errors = _errors(units, held, db)
            results.append(JudgedResult(world.name, seed, count, int(held.sum()), without, *errors))
        return results
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _held(rows: Exposures, wording: str) -> bool:
    """Whether the need behind a wording is of the half that nobody judges."""
    need = rows.world.needs[wording]
    return blake2b(need.encode(), digest_size=1, person=b"held").digest()[0] % 2 == 1


def _judge(db: Path, rows: Exposures, count: int) -> None:
    """Grade the next pairs that ``ragwheel grade --check`` asks about, of questions that may be judged."""
    by_key = {query_key(wording): wording for wording in rows.wordings}
    judgments: list[Judgment] = []
    for pair in candidates(db, judge="reader", check=True):
        wording = by_key[query_key(pair.query)]
        if len(judgments) < count and not _held(rows, wording):
            grade = rows.world.grades[rows.world.needs[wording]].get(pair.chunk_id, 0)
            judgments.append(Judgment(pair.query, pair.chunk_id, _of_five(grade, rows.world.top), "reader"))
    report = judge_many(db, judgments)
    if report.written != len(judgments):
        raise RuntimeError(f"Of {len(judgments)} judgments {report.written} were written.")


def _of_five(grade: int, top: int) -> float:
    """What a person says of a chunk with this grade of the collection: 3 to 5 where it is relevant."""
    return 0.0 if grade <= 0 else 5.0 - 2.0 * (top - grade) / max(top - 1, 1)


def _errors(units: Units, held: np.ndarray, db: Path) -> tuple[float, float]:
    """Return the calibration error of the beliefs before and after recalibration."""
    policy = load_policy()
    with closing(open_store(db)) as connection, DuckDBEngine(threads=1) as engine:
        store = grade_store(engine, read_store(connection), TextReader(connection), policy)
        before = beliefs(store.facts, store.evidence, policy, store.model)
        chunks = store.facts.chunks.select("chunk_version", "chunk_id")
        columns = ["query_key", "chunk_id", "belief"]
        errors = []
        for rows in (before, store.grades):
            table = engine.arrow(rows.join(chunks, "chunk_version").select(columns)).to_pylist()
            by_pair = {(row["query_key"], row["chunk_id"]): row["belief"] for row in table}
            errors.append(units.calibration_error(units.beliefs(by_pair), held))
    return errors[0], errors[1]


def calibration_table(results: Sequence[JudgedResult]) -> str:
    """Return a Markdown table: mean and worst error by collection and number of judgments."""
    lines = [
        "| collection | crowds | judgments | ECE without: mean; worst | as anchors | recalibrated, too |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    names = sorted({result.collection for result in results})
    for name in [*names, "all"]:
        for judged in sorted({result.judged for result in results}):
            part = [r for r in results if r.judged == judged and name in (r.collection, "all")]
            cells = [
                f"{mean(values):.3f}; {max(values):.3f}"
                for values in (
                    [r.without for r in part],
                    [r.anchored for r in part],
                    [r.recalibrated for r in part],
                )
            ]
            lines.append(f"| {name} | {len(part)} | {judged} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
