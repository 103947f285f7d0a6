#!/usr/bin/env python3
"""How right are the labels? Simulated traffic over judged collections, beside the naive recipe and a miner.

    python benchmarks/labels/run.py --data FOLDER              # 10 seeds, at most 10 minutes
    python benchmarks/labels/run.py --data FOLDER --quick      # 2 seeds of noveleval, a minute, no miner
    python benchmarks/labels/run.py --data FOLDER --summary    # ... and the tables into docs/labels.md

FOLDER holds ``noveleval/`` and ``scifact/`` in BEIR layout. ``users.py`` states the user models,
``traffic.py`` how often is asked. Every other query (``--half 1``) was held out
while defaults were chosen.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])  # import this folder as the package `labels`

from labels.measures import Tally
from labels.summary import SYSTEMS, put_into, tables
from labels.systems import Miner, naive, ragwheel_labels
from labels.traffic import TRAFFIC, drive
from labels.worlds import World, read_noveleval, read_scifact

__all__ = ["main"]

DOCS = Path(__file__).resolve().parents[2] / "docs" / "labels.md"


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--data", type=Path, required=True, help="folder with noveleval/ and scifact/")
    made.add_argument("--seeds", type=int, default=10)
    made.add_argument("--first-seed", type=int, default=0)
    made.add_argument("--quick", action="store_true", help="2 seeds, noveleval only, no miner")
    made.add_argument("--half", type=int, choices=(0, 1), help="every other query only")
    made.add_argument(
        "--traffic",
        nargs="+",
        choices=list(TRAFFIC),
        default=list(TRAFFIC),
        help="of noveleval; scifact always has `together`",
    )
    made.add_argument("--collections", nargs="+", choices=("noveleval", "scifact"))
    made.add_argument("--policy", type=Path, help="a policy file instead of the packaged one")
    made.add_argument("--no-miner", action="store_true", help="leave out mine_hard_negatives")
    made.add_argument("--jobs", type=int, default=2, help="processes")
    made.add_argument("--keep", type=Path, help="keep stores and datasets in this folder")
    made.add_argument(
        "--summary", nargs="?", const=DOCS, type=Path, metavar="FILE",
        help="write the tables between the markers in FILE (default: docs/labels.md)",
    )  # fmt: skip
    return made


def main(arguments: list[str] | None = None) -> None:
    """Run the command."""
    asked = parser().parse_args(arguments)
    seeds = range(asked.first_seed, asked.first_seed + (2 if asked.quick else asked.seeds))
    names = asked.collections or (["noveleval"] if asked.quick else ["noveleval", "scifact"])
    read = {"noveleval": read_noveleval, "scifact": read_scifact}
    worlds = [read[name](asked.data / name) for name in names]
    if asked.half is not None:
        worlds = [world.half(asked.half) for world in worlds]
    began = time.monotonic()
    work = [(w, name) for w in worlds for name in (asked.traffic if w.complete else ["together"])]
    results: dict[tuple[str, str], dict[str, Tally]] = {}
    with ProcessPoolExecutor(asked.jobs, mp_context=get_context("spawn")) as pool:
        running = [(w.name, name, pool.submit(_measure, w, name, seeds, asked)) for w, name in work]
        for world, name, future in running:
            results[world, name] = future.result()
            print(
                f"{world}, {name}: done after {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True
            )
    text = tables(results, len(seeds))
    print(text)
    if asked.summary:
        put_into(asked.summary, text)


def _measure(world: World, name: str, seeds: range, asked: argparse.Namespace) -> dict[str, Tally]:
    miner = Miner() if name == "together" and not (asked.quick or asked.no_miner) else None
    found = {system: Tally(world) for system in SYSTEMS}
    for seed in seeds:
        folder = Path(tempfile.mkdtemp(prefix="ragwheel-labels-"))
        try:
            drive(folder / "traces.db", world, TRAFFIC[name], seed)
            found["ragwheel"].add(ragwheel_labels(folder / "traces.db", world.needs, asked.policy))
            plain = naive(folder / "traces.db", world.needs)
            found["naive recipe"].add(plain)
            if miner is not None:
                corpus = sorted({doc for _, doc in plain.positives | set(plain.negatives)})
                mined = miner.mine(world, plain.positives, corpus)
                found["mine_hard_negatives"].add(mined)
                mined = miner.mine(world, plain.positives, corpus, relative_margin=0.05)
                found["mine_hard_negatives, 5 % margin"].add(mined)
            if asked.keep:
                shutil.copytree(folder, asked.keep / f"{world.name}-{name}-{seed}", dirs_exist_ok=True)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    return {system: tally for system, tally in found.items() if tally.count("positives")}


if __name__ == "__main__":
    main()
