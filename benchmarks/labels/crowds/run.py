#!/usr/bin/env python3
"""How right are the labels on crowds that nobody tuned on? Beside the best labels that anybody could give.

    python benchmarks/labels/crowds/run.py --data FOLDER                         # development: seeds 0 to 4
    python benchmarks/labels/crowds/run.py --data FOLDER --turns 300 --seeds 2   # a few minutes, a first look
    python benchmarks/labels/crowds/run.py --data FOLDER --first-seed 1000 --seeds 10 --summary   # a report
    python benchmarks/labels/crowds/run.py --results A.json B.json --summary   # tables of what --json printed

FOLDER holds ``scifact/``, ``noveleval/`` and ``mtrag_human_sub/`` in BEIR layout. Each seed draws a crowd.
The crowd uses a wrapped retriever over each collection, and what ragwheel then believes is compared with
the Bayes-optimal beliefs, the naive recipe and ``mine_hard_negatives``. Seeds from 1,000 on are for reports
only: choose no default by them.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from functools import cache, lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[2])  # import the folder above as the package `labels`

from pydantic import TypeAdapter

from labels.crowds.crowd import draw_crowd
from labels.crowds.figures import CrowdResult, Mining, compare, mining
from labels.crowds.replay import replay
from labels.crowds.tables import crowd_tables
from labels.crowds.turns import simulate
from labels.crowds.wordings import read_paraphrased
from labels.rows_worlds import read_mtrag
from labels.summary import put_into
from labels.systems import Miner
from labels.worlds import World, read_noveleval, read_scifact

__all__ = ["main", "plain"]

DOCS: Final = Path(__file__).resolve().parents[3] / "docs" / "labels.md"
MARKER: Final = "benchmarks/labels/crowds"
COLLECTIONS: Final[dict[str, Callable[[Path], World]]] = {
    "scifact": lambda data: read_scifact(data / "scifact", n=300),
    "noveleval": lambda data: read_noveleval(data / "noveleval"),
    "mtrag": lambda data: read_mtrag(data / "mtrag_human_sub"),
    "paraphrases": read_paraphrased,
}


def parser() -> argparse.ArgumentParser:
    """The command line."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--data", type=Path, help="folder with the collections")
    options.add_argument(
        "--results", type=Path, nargs="+", metavar="FILE",
        help="run nothing: show the results that --json printed into these files",
    )  # fmt: skip
    options.add_argument("--first-seed", type=int, default=0)
    options.add_argument("--seeds", type=int, default=5, help="crowds per collection (default: 5)")
    options.add_argument("--turns", type=int, default=2_000, help="turns per crowd (default: 2,000)")
    options.add_argument("--collections", nargs="+", choices=list(COLLECTIONS), default=list(COLLECTIONS))
    options.add_argument("--policy", type=Path, help="a policy file instead of the packaged one")
    options.add_argument(
        "--miner", type=int, default=40, metavar="N",
        help="wordings per crowd that mine_hard_negatives mines for (default: 40; 0: leave it out)",
    )  # fmt: skip
    options.add_argument("--jobs", type=int, default=2, help="processes (default: 2)")
    options.add_argument("--keep", type=Path, help="keep the stores in this folder")
    options.add_argument("--json", action="store_true", help="print every crowd's results as JSON, no tables")
    options.add_argument(
        "--summary", nargs="?", const=DOCS, type=Path, metavar="FILE",
        help="write the tables between the markers in FILE, too (default: docs/labels.md)",
    )  # fmt: skip
    return options


def main(arguments: list[str] | None = None) -> int:
    """Run the command, and return its exit status: 1 if any crowd failed."""
    commands = parser()
    options = commands.parse_args(arguments)
    if options.summary and f"<!-- {MARKER} -->" not in options.summary.read_text("utf-8"):
        commands.error(f"{options.summary} has no line <!-- {MARKER} --> to write the tables below")
    if options.results:
        _show([result for path in options.results for result in _read(path)], options.summary)
        return 0
    if options.data is None:
        commands.error("--data is missing: the folder with the collections")
    os.environ.setdefault("TQDM_DISABLE", "1")  # the miner's bars would hide the progress
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    began = time.monotonic()
    results: list[CrowdResult] = []
    failures: list[str] = []
    with ProcessPoolExecutor(options.jobs, mp_context=get_context("spawn")) as pool:
        running = {
            pool.submit(measure, name, seed, options): f"{name}, seed {seed}"
            for seed in seeds
            for name in options.collections
        }
        for count, future in enumerate(as_completed(running), 1):
            try:
                results.append(future.result())
                outcome = _outcome(results[-1])
            except Exception as exc:
                failures.append(f"{running[future]}: {type(exc).__name__}: {exc}")
                outcome = f"failed with {type(exc).__name__}: {exc}"
            progress = f"[{count}/{len(running)}] {time.monotonic() - began:.0f} s"
            print(f"{progress}  {running[future]}: {outcome}", file=sys.stderr, flush=True)
    if options.json:
        print(json.dumps({"results": [plain(result) for result in results], "failures": failures}, indent=1))
    elif results:
        _show(results, options.summary)
    for failure in failures:
        print(f"failed: {failure}", file=sys.stderr)
    return 1 if failures else 0


def _read(path: Path) -> list[CrowdResult]:
    """Return the results that ``--json`` printed."""
    return TypeAdapter(list[CrowdResult]).validate_python(json.loads(path.read_text("utf-8"))["results"])


def _show(results: list[CrowdResult], summary: Path | None) -> None:
    """Print the tables, and write them between the markers in the file."""
    text = crowd_tables(results)
    print(text)
    if summary:
        put_into(summary, text, MARKER)


def measure(name: str, seed: int, options: argparse.Namespace) -> CrowdResult:
    """One crowd on one collection."""
    crowd = draw_crowd(seed)
    rows = simulate(_collection(name, options.data), crowd, options.turns)
    folder = Path(tempfile.mkdtemp(prefix="ragwheel-crowds-"))
    try:
        replay(folder / "traces.db", rows, crowd)
        if options.keep:
            shutil.copytree(folder, options.keep / f"{name}-{seed}", dirs_exist_ok=True)
        miner = _miner(options.miner) if options.miner else None
        return compare(folder / "traces.db", rows, crowd, policy=options.policy, miner=miner)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@cache
def _collection(name: str, data: Path) -> World:
    return COLLECTIONS[name](data)


@lru_cache(maxsize=1)
def _miner(questions: int) -> Mining:
    return mining(Miner(), questions)


def _outcome(result: CrowdResult) -> str:
    ours, best = result.beliefs["ragwheel"], result.beliefs["optimum"]
    rows = result.rows["ragwheel"]
    return (
        f"recall {ours.recall:.2f} of {best.recall:.2f}, ECE {ours.ece:.3f}, "
        f"positives {rows.positives.value:.3f} of {rows.positives.n}, "
        f"negatives {rows.negatives.value:.3f} of {rows.negatives.n}"
    )


def plain(result: CrowdResult) -> dict[str, Any]:
    """Return what ``--json`` prints of one crowd."""
    return asdict(result) | {"ratio": None if result.ratio != result.ratio else result.ratio}


if __name__ == "__main__":
    sys.exit(main())
