#!/usr/bin/env python3
"""Rows for reading: checked negatives of every strategy, drawn the same way every time.

    python benchmarks/labels/rows.py build --data FOLDER --pythons OLD NEW --out ROWS
    python benchmarks/labels/rows.py build --pythons OLD NEW --questions 400 --policy FILE --out ROWS
    python benchmarks/labels/rows.py show --out ROWS --strategy bounce          # 100 of them
    python benchmarks/labels/rows.py show --out ROWS --strategy bounce --judged # ... what people had judged
    python benchmarks/labels/rows.py build --data FOLDER --collections noveleval --out ROWS
    python benchmarks/labels/rows.py precision --out ROWS    # of each strategy, by the collections' judgments

FOLDER holds ``noveleval/``, ``scifact/`` and ``mtrag_human_sub/``; OLD and NEW are the standard libraries
of two Pythons (``.../lib/python3.8``). ``build`` simulates the traffic of ``users.py`` over them and keeps
the negatives that would make rows; ``show`` takes as many from each collection as it can, at random.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import closing
from difflib import SequenceMatcher
from itertools import groupby, zip_longest
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])  # import this folder as the package `labels`

from labels.rows_worlds import read_mtrag, read_python
from labels.traffic import TRAFFIC, Traffic, drive
from labels.worlds import World, read_noveleval, read_scifact
from ragwheel.datasets import BuildOptions
from ragwheel.datasets.grading import Inputs, label
from ragwheel.datasets.plans import RowRules, with_mined
from ragwheel.datasets.splits import Assignment
from ragwheel.judgments import import_evalset
from ragwheel.labels import load_policy
from ragwheel.labels.engines.engine import DuckDBEngine
from ragwheel.labels.negatives import vet
from ragwheel.labels.policy import Policy
from ragwheel.labels.strategies import STRATEGIES
from ragwheel.labels.traces.read_source import store_source
from ragwheel.labels.traces.text import query_key
from ragwheel.store import open_store

__all__ = ["main"]

Row = dict[str, Any]
COLLECTIONS: dict[str, Callable[[Path], World]] = {
    "noveleval": lambda data: read_noveleval(data / "noveleval"),
    "scifact": lambda data: read_scifact(data / "scifact"),
    "mtrag": lambda data: read_mtrag(data / "mtrag_human_sub"),
}
FEW = Traffic("all three, each question eight times", 8, clicks=True, cites=True, lazy=True)
OFTEN = Traffic("all three, each question sixty times", 60, clicks=True, cites=True, lazy=True)


def main(arguments: list[str] | None = None) -> None:
    """Run the command."""
    asked = _parser().parse_args(arguments)
    {"build": _build, "show": _show, "precision": _precision}[asked.command](asked)


def _parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = made.add_subparsers(dest="command", required=True)
    build = commands.add_parser("build", help="simulate, label, write rows.jsonl")
    build.add_argument("--data", type=Path, help="folder with the collections; without it: the Pythons alone")
    build.add_argument("--pythons", type=Path, nargs=2, metavar=("OLD", "NEW"))
    build.add_argument("--collections", nargs="+", choices=list(COLLECTIONS), default=list(COLLECTIONS))
    build.add_argument("--questions", type=int, default=200, help="as many changed, and others, of NEW")
    build.add_argument("--policy", type=Path, help="another policy than the packaged one")
    build.add_argument("--seed", type=int, default=2000)
    show = commands.add_parser("show", help="print a sample")
    show.add_argument("--strategy", required=True)
    show.add_argument("--n", type=int, default=100, help="rows in the sample")
    show.add_argument("--first", type=int, default=0, help="print from this one of them on")
    show.add_argument("--count", type=int, default=100, help="print so many")
    show.add_argument("--chars", type=int, default=600, help="of a text")
    show.add_argument("--judged", action="store_true", help="print what people judged, instead of the texts")
    precision = commands.add_parser("precision", help="how many rows of each strategy people judged relevant")
    precision.add_argument("--n", type=int, default=100, help="rows of a strategy (default: 100)")
    for command in (build, show, precision):
        command.add_argument("--out", type=Path, required=True, help="folder of rows.jsonl")
    return made


def _build(asked: argparse.Namespace) -> None:
    asked.out.mkdir(parents=True, exist_ok=True)
    policy = load_policy(asked.policy)
    found: list[Row] = []
    stores = _collections(asked.data, asked.collections) if asked.data else []
    if asked.data and "noveleval" in asked.collections:
        found += _judged(asked, policy)
    if asked.pythons:
        old, new = asked.pythons
        stores.append((read_python(old, new, asked.questions), FEW))
    for worlds, traffic in stores:
        with tempfile.TemporaryDirectory(prefix="ragwheel-rows-") as folder:
            db = Path(folder) / "traces.db"
            for place, world in enumerate(worlds):
                drive(db, world, traffic, asked.seed + place)
            rows = _negatives(db, worlds[-1], worlds[0], policy)
        print(f"{worlds[-1].name}, {traffic.says}: {len(rows)} negatives", file=sys.stderr, flush=True)
        found += rows
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in found)
    (asked.out / "rows.jsonl").write_text(text, "utf-8")


def _collections(data: Path, names: Sequence[str]) -> list[tuple[tuple[World, ...], Traffic]]:
    worlds = {name: COLLECTIONS[name](data) for name in names}
    stores: list[tuple[tuple[World, ...], Traffic]] = []
    for name, world in worlds.items():
        often = TRAFFIC.values() if name == "noveleval" else (TRAFFIC["together"], TRAFFIC["little"], OFTEN)
        stores += [((world,), traffic) for traffic in often]
    return stores


def _judged(asked: argparse.Namespace, policy: Policy) -> list[Row]:
    """Negatives because people said so: NovelEval's own judgments, taken in as a team would."""
    world = read_noveleval(asked.data / "noveleval")
    with tempfile.TemporaryDirectory(prefix="ragwheel-rows-") as folder:
        db = Path(folder) / "traces.db"
        drive(db, world, TRAFFIC["little"], asked.seed)
        import_evalset(db, asked.data / world.name, use="train")
        return [row for row in _negatives(db, world, world, policy) if row["strategy"] == "judged"]


def _negatives(db: Path, world: World, earlier: World, policy: Policy) -> list[Row]:
    need = {query_key(query): query for each in (earlier, world) for query in each.queries}
    need |= {query_key(world.short[query]): query for query in world.queries}
    found: list[Row] = []
    options = BuildOptions(dev=0, test=0)
    with closing(open_store(db)) as connection, DuckDBEngine(threads=1) as engine:
        given = Inputs(
            store_source(connection), engine, policy, options, Assignment({}), stage=lambda _stage: None
        )
        labelled = label(given)
        rules = RowRules(policy, None, options.seed, labelled.strikes)
        groups = with_mined(labelled.read(), labelled.corpus(), rules, labelled.dropped)
        for each, chunks in groups:
            group = each.group
            asked = need.get(group.key, "")
            positives = [chunk for chunk in chunks if chunk.status == "positive"]
            if asked not in world.grades:
                continue
            judged = world.grades[asked]
            best = max(positives, key=lambda chunk: chunk.confidence, default=None)
            for chunk in vet(chunks, each.similar, policy, labelled.dropped):
                grade = judged.get(chunk.chunk_id, 0 if world.complete else None)
                current = chunk.text == world.texts.get(chunk.chunk_id)
                found.append(
                    {
                        "world": world.name,
                        "strategy": chunk.strategy,
                        "query": group.text,
                        "need": asked,
                        "chunk": chunk.chunk_id,
                        "text": chunk.text,
                        "positive": best.chunk_id if best else None,
                        "positive_text": best.text if best else "",
                        "current_text": None if current else world.texts.get(chunk.chunk_id),
                        "why": "; ".join(reason.text for reason in chunk.reasons),
                        "judged": grade,
                    }
                )
    return found


def _sample(rows: list[Row], n: int) -> list[Row]:
    """Distinct (need, chunk) pairs, in turn from each collection, sorted by collection and question."""
    distinct = {(row["world"], row["need"], row["chunk"]): row for row in reversed(rows)}
    shuffled: dict[str, list[Row]] = {}
    for _, row in sorted(distinct.items()):
        shuffled.setdefault(row["world"], []).append(row)
    for name, found in shuffled.items():
        random.Random(name).shuffle(found)
    turns = zip_longest(*(found for _, found in sorted(shuffled.items())))
    taken = [row for turn in turns for row in turn if row is not None][:n]
    return sorted(taken, key=lambda row: (row["world"], row["need"], row["chunk"]))


def _read(asked: argparse.Namespace) -> list[Row]:
    return [json.loads(line) for line in (asked.out / "rows.jsonl").read_text("utf-8").splitlines()]


def _precision(asked: argparse.Namespace) -> None:
    """Print a Markdown table: how many of each strategy's rows the collection's judges found relevant."""
    every = _read(asked)
    print("| strategy | rows | relevant, so wrong | irrelevant | not judged | precision, 95 % |")
    print("| --- | --- | --- | --- | --- | --- |")
    for strategy in STRATEGIES:
        sample = _sample([row for row in every if row["strategy"] == strategy], asked.n)
        judged = [row["judged"] for row in sample if row["judged"] is not None]
        wrong = sum(grade > 0 for grade in judged)
        low, high = _wilson(len(sample) - wrong, len(sample)) if sample else (0.0, 1.0)
        counts = f"{len(sample)} | {wrong} | {len(judged) - wrong} | {len(sample) - len(judged)}"
        print(f"| `{strategy}` | {counts} | {f'{low:.2f} to {high:.2f}' if sample else '–'} |")


def _wilson(hits: int, n: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a share."""
    z, share = 1.96, hits / n
    middle, width = share + z * z / (2 * n), z * (share * (1 - share) / n + z * z / (4 * n * n)) ** 0.5
    return (middle - width) / (1 + z * z / n), (middle + width) / (1 + z * z / n)


def _show(asked: argparse.Namespace) -> None:
    every = _read(asked)
    strategies = sorted({row["strategy"] for row in every})
    if asked.strategy not in strategies:
        raise SystemExit(f"--strategy {asked.strategy}: no row. There are: {', '.join(strategies)}")
    sample = _sample([row for row in every if row["strategy"] == asked.strategy], asked.n)
    numbered = list(enumerate(sample))[asked.first : asked.first + asked.count]
    if asked.judged:
        for number, row in numbered:
            print(number, row["world"], row["chunk"], row["judged"], sep="\t")
        return
    for (world, need), rows in groupby(numbered, key=lambda item: (item[1]["world"], item[1]["need"])):
        print(f"\n===== [{world}] {need}")
        for said, (number, row) in enumerate(rows):
            if not said:
                print(f"  + {row['positive']}: {_cut(row['positive_text'], asked.chars // 2)}")
            hasty = f" (typed: {row['query']})" if row["query"] != need else ""
            print(f" #{number}{hasty} {row['chunk']} <- {row['why']}")
            print("   ", _cut(row["text"], asked.chars))
            if row["current_text"] is not None:
                print("    what changed:", _cut(_changes(row["text"], row["current_text"]), asked.chars))


def _changes(then: str, now: str) -> str:
    old, new = then.split(), now.split()
    said = []
    for what, a, b, c, d in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if what != "equal":
            said.append(f"[-{' '.join(old[a:b])}-] {{+{' '.join(new[c:d])}+}}")
    return " … ".join(said)


def _cut(text: str, chars: int) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= chars else flat[:chars] + " […]"


if __name__ == "__main__":
    main()
