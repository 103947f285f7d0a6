#!/usr/bin/env python3
"""Poisoning: how many grades some dishonest people move, with and without a defence.

    python benchmarks/poison/run.py --data FOLDER                 # scifact in BEIR's layout
    python benchmarks/poison/run.py --data FOLDER --shares 0.05 --seeds 10
    python benchmarks/poison/run.py --data FOLDER --adapter       # nDCG@10 of adapters

Simulated people ask questions of the folder's train split. Liars come beside them, with handles of their own
and as many turns each, and try to bend what is learned: at random, for one document, or against one. A grade
has *moved* when it differs by more than one step from the one without liars, or is told only because of them
and lies more than a step from what is believed without evidence. Intervals: 95 %, Student's t over seeds.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from statistics import mean, stdev
from typing import Final

from scipy.stats import t as student
from tqdm import tqdm  # type: ignore[import-untyped]

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])  # import this folder as the package `poison`

from poison.grades import DEFENCES, Defence, DefendedGrades, Effect, effect, grades_under
from poison.world import promoted_and_demoted, read_world
from ragwheel.testing import ATTACKS, Liars, TraceSpec, World, write_traces

__all__ = ["main"]

Key = tuple[str, float, str]
"""Attack, share of dishonest people, defence."""
COLUMNS: Final = (
    "attack", "dishonest", "defence", "grades moved %", "of the target's %", "no longer told %",
    "precision of positives", "points lost", "right positives",
)  # fmt: skip
Row = tuple[Key, Effect, float | None, float | None]
"""A run, what became of the grades, and nDCG@10 of the adapter with and without the liars."""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--data", type=Path, required=True, help="folder in BEIR's layout")
    made.add_argument(
        "--shares", type=float, nargs="+", default=[0.01, 0.05, 0.2], help="of dishonest people"
    )
    made.add_argument("--seeds", type=int, default=5)
    made.add_argument("--first-seed", type=int, default=1000)
    made.add_argument("--queries", type=int, default=100)
    made.add_argument("--asked", type=int, default=10, help="how often each question is asked")
    made.add_argument("--users", type=int, default=100, help="honest people")
    made.add_argument("--adapter", action="store_true", help="train an adapter on each (minutes each)")
    made.add_argument("--jobs", type=int, default=2, help="seeds at a time")
    made.add_argument("--json", type=Path, help="write every run's figures there")
    return made


@dataclass(frozen=True)
class SeedJob:
    """All runs of one seed; ``data``: where to measure adapters on, or None."""

    world: World
    spec: TraceSpec
    shares: tuple[float, ...]
    data: Path | None


def one_seed(job: SeedJob) -> list[Row]:
    """Every attack at every share under every defence; with ``data`` also the nDCG@10 of an adapter."""
    world, spec, data, found = job.world, job.spec, job.data, list[Row]()
    promoted, demoted = promoted_and_demoted(world, spec.returned)
    with tempfile.TemporaryDirectory() as folder:
        honest = Path(folder) / "clean.db"
        clean = _graded(honest, world, spec, None)
        best = {name: _ndcg(honest, defence, data) for name, defence in DEFENCES.items()}
        for attack, target in zip(ATTACKS, (-1, promoted, demoted)):
            for share in job.shares:
                db = Path(folder) / f"{attack}-{share}.db"
                lied = _graded(db, world, spec, Liars(share, attack, target))
                for name, defence in DEFENCES.items():
                    moved = effect(clean[name], lied[name], world, target)
                    ndcg = _ndcg(db, defence, data)
                    found.append(((attack, share, name), moved, ndcg, best[name]))
    return found


def _graded(db: Path, world: World, spec: TraceSpec, liars: Liars | None) -> dict[str, DefendedGrades]:
    write_traces(db, spec, world, liars=liars)
    return grades_under(db, DEFENCES)


def _ndcg(db: Path, defence: Defence, data: Path | None) -> float | None:
    if data is None:
        return None
    from poison.adapter import ndcg_at_10  # heavy: trains

    return ndcg_at_10(db, defence.policy, data)


def interval(values: list[float]) -> tuple[float, float]:
    """The mean, and half the width of its 95 % interval."""
    if len(values) < 2:
        return mean(values), float("nan")
    width = float(student.ppf(0.975, len(values) - 1)) * stdev(values) / len(values) ** 0.5
    return mean(values), width


def table(found: dict[Key, list[Effect]], costs: dict[Key, list[float]]) -> str:
    """Markdown, a row per attack, share and defence; ``costs`` in nDCG@10, where adapters were trained."""
    heads = (*COLUMNS, "nDCG@10, points lost") if costs else COLUMNS
    lines = [
        "| " + " | ".join(heads) + " |",
        "|---" * len(heads) + "|",
    ]
    for (attack, share, name), effects in found.items():
        columns = dict(zip(Effect._fields, zip(*effects)))
        moved, lost = (interval([100 * x for x in columns[field]]) for field in ("moved", "precision_lost"))
        lines.append(
            f"| {attack} | {share:.0%} | {name} | {moved[0]:.1f} ± {moved[1]:.1f} "
            f"| {100 * mean(columns['moved_of_target']):.0f} | {100 * mean(columns['silenced']):.0f} "
            f"| {mean(columns['precision']):.2f} | {lost[0]:.1f} ± {lost[1]:.1f} "
            f"| {mean(columns['right_positives']):.0f} of {mean(columns['grades']):.0f} grades |"
        )
        if costs:
            cost = interval([100 * x for x in costs[attack, share, name]])
            lines[-1] += f" {cost[0]:.1f} ± {cost[1]:.1f} |"
    return "\n".join(lines)


def main() -> None:
    """Run the command; exit code 1 when 5 % of liars move more than 2 % of the grades under ``strict``."""
    asked = parser().parse_args()
    world = read_world(asked.data, asked.queries, k=20)
    spec = TraceSpec(turns=len(world.queries) * asked.asked, users=asked.users, zipf=0.3, k=20)
    data = asked.data if asked.adapter else None
    seeds = range(asked.first_seed, asked.first_seed + asked.seeds)
    jobs = [SeedJob(world, replace(spec, seed=seed), tuple(asked.shares), data) for seed in seeds]
    found: defaultdict[Key, list[Effect]] = defaultdict(list)
    costs: defaultdict[Key, list[float]] = defaultdict(list)
    every = []
    with ProcessPoolExecutor(asked.jobs, mp_context=get_context("spawn")) as pool:
        for seed, of_seed in zip(seeds, tqdm(pool.map(one_seed, jobs), total=len(jobs), unit="seed")):
            for key, effects, ndcg, honest in of_seed:
                found[key].append(effects)
                if ndcg is not None and honest is not None:
                    costs[key].append(honest - ndcg)
                every.append(
                    {"seed": seed, "run": key, "ndcg_at_10": ndcg, "without_liars": honest}
                    | effects._asdict()
                )
    if asked.json is not None:
        asked.json.write_text(json.dumps(every, indent=1))
    print(
        f"{len(world.queries)} questions asked {asked.asked} times by {asked.users} honest people; "
        f"seeds {seeds.start} to {seeds.stop - 1}\n\n{table(found, costs)}"
    )
    bars = [effects for (_, share, name), effects in found.items() if (share, name) == (0.05, "strict")]
    sys.exit(any(mean(each.moved for each in effects) > 0.02 for effects in bars))


if __name__ == "__main__":
    main()
