"""Do the estimators of examination find the truth? ``python benchmarks/position.py [--impressions 1000000]``.

Every world has a known truth: examination per rank relative to rank 1. Worlds: the position-based model with
queries that repeat (and one where each chunk is seen three times), two retriever versions whose shuffles
follow relevance within a version, and adjacent swaps on queries that never repeat.
Every estimator that a world gives its input is run in it: off its own world an estimator may well be wrong,
and the table shows by how much. The bar: at a million impressions, ranks 1 to 5, absolute error at most 0.05
in the own world.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ragwheel.labels.position import (
    Cells,
    Examination,
    Served,
    Swapped,
    harvested,
    pbm,
    randomised,
)

Floats = npt.NDArray[np.float64]
RANKS = 10
CHECKED = 5
BAR = 0.05
THETA = np.array([1, 0.72, 0.55, 0.45, 0.38, 0.33, 0.29, 0.26, 0.23, 0.21])


@dataclass(frozen=True)
class ClickTraffic:
    """Simulated lists with the true examination; ``version`` and ``base`` where the world has them.

    ``items`` are (lists, ranks) chunk numbers within a query, ``base`` the ranks before swapping.
    """

    query: npt.NDArray[np.int64]
    items: npt.NDArray[np.int64]
    clicks: npt.NDArray[np.bool_]
    truth: Floats
    version: npt.NDArray[np.int64] | None = None
    base: npt.NDArray[np.int64] | None = None
    swap: float = 0.0

    @property
    def item(self) -> npt.NDArray[np.int64]:
        """(lists, ranks) numbers of (query, chunk) pairs."""
        return np.asarray(self.query[:, None] * 100 + self.items)

    def cells(self) -> Cells:
        """Counts by item and rank."""
        return self.served().cells

    def served(self) -> Served:
        """Counts by item, version and rank."""
        _, item = np.unique(self.item, return_inverse=True)
        version = np.zeros(len(self.query), np.int64) if self.version is None else self.version
        place = (item.reshape(self.items.shape) * 2 + version[:, None]) * RANKS + np.arange(
            self.items.shape[1]
        )
        keys, row, n = np.unique(place, return_inverse=True, return_counts=True)
        clicks = np.bincount(row.reshape(-1), self.clicks.ravel(), len(keys)).astype(float)
        number = keys // (2 * RANKS)
        of_item = np.zeros(int(number.max()) + 1, np.int64)
        of_item[item.reshape(-1)] = np.repeat(self.query, self.items.shape[1])
        cells = Cells(of_item[number], number, keys % RANKS + 1, n.astype(float), clicks)
        return Served(cells, keys // RANKS % 2)

    def swapped(self) -> Swapped:
        """One row per impression, with the probability of its place."""
        assert self.base is not None
        base, rank = self.base, np.broadcast_to(np.arange(1, RANKS + 1), self.base.shape)
        up, down = (base > 1) * self.swap / 2, (base < RANKS) * self.swap / 2
        chance = np.where(rank == base, 1 - up - down, self.swap / 2)
        columns = (base.ravel(), rank.ravel(), chance.ravel())
        query = np.repeat(self.query, RANKS)
        return Swapped(query, *columns, np.ones(base.size), self.clicks.ravel().astype(float))


def _rankings(draw: np.random.Generator, relevance: Floats, noise: float) -> npt.NDArray[np.int64]:
    """Chunks of each list by noisy relevance, best first."""
    return np.argsort(-(relevance + noise * draw.standard_normal(relevance.shape)), axis=1).astype(np.int64)


def _queries(
    draw: np.random.Generator, lists: int, repeat: int, chunks: int = RANKS
) -> tuple[npt.NDArray[np.int64], Floats]:
    """The query of each list, and the attractiveness of each query's chunks."""
    n = max(lists // repeat, 1)
    return draw.integers(0, n, lists), draw.beta(1, 2, (n, chunks))


def position_based(draw: np.random.Generator, lists: int, repeat: int = 50) -> ClickTraffic:
    """Rankings that vary by chance; a click needs examination and attractiveness."""
    query, attraction = _queries(draw, lists, repeat)
    items = _rankings(draw, attraction[query], 0.3)
    clicks = draw.random(items.shape) < THETA * np.take_along_axis(attraction[query], items, 1)
    return ClickTraffic(query, items, clicks, THETA)


def sparse(draw: np.random.Generator, lists: int) -> ClickTraffic:
    """The same with every query asked three times."""
    return position_based(draw, lists, 3)


def versions(draw: np.random.Generator, lists: int) -> ClickTraffic:
    """Two versions in turn; for a third of the queries rankings follow who asks, and so do clicks."""
    query, attraction = _queries(draw, lists, 50)
    version = draw.integers(0, 2, lists)
    score = attraction + 0.3 * draw.standard_normal((2, *attraction.shape))
    personal = (draw.random(len(attraction)) < 0.3)[query][:, None]
    taste = 0.5 * personal * (np.arange(RANKS) % 2 == draw.integers(0, 2, (lists, 1)))
    items = np.argsort(-(score[version, query] + taste), axis=1).astype(np.int64)
    wanted = np.clip(attraction[query] * (0.7 + taste), 0, 1)
    clicks = draw.random(items.shape) < THETA * np.take_along_axis(wanted, items, 1)
    return ClickTraffic(query, items, clicks, THETA, version=version)


def swaps(draw: np.random.Generator, lists: int, probability: float = 0.2) -> ClickTraffic:
    """Adjacent swaps as ``ragwheel.explore`` makes them; no query comes twice."""
    attraction = draw.beta(1, 2, (lists, RANKS))
    base = np.tile(np.arange(1, RANKS + 1), (lists, 1))
    paired = draw.integers(0, 2, lists)
    for first in (0, 1):
        rows = np.flatnonzero(paired == first)
        for upper in range(first, RANKS - 1, 2):
            some = rows[draw.random(len(rows)) < probability]
            base[some, upper], base[some, upper + 1] = base[some, upper + 1], base[some, upper]
    items = np.take_along_axis(_rankings(draw, attraction, 0.2), base - 1, 1)
    clicks = draw.random(items.shape) < THETA * np.take_along_axis(attraction, items, 1)
    return ClickTraffic(np.arange(lists), items, clicks, THETA, base=base, swap=probability)


WORLDS: dict[str, tuple[Callable[[np.random.Generator, int], ClickTraffic], str]] = {
    "position-based": (position_based, "pbm"),
    "position-based, seen 3 times": (sparse, "pbm"),
    "two versions, personalised": (versions, "harvested"),
    "adjacent swaps, no repeats": (swaps, "randomised"),
}


def estimates(traffic: ClickTraffic) -> Iterator[tuple[str, Callable[[], Examination]]]:
    """Every estimator that this traffic gives an input."""
    cells = traffic.cells()
    yield "pbm", lambda: pbm(cells)
    if traffic.version is not None:
        yield "harvested", lambda: harvested(traffic.served())
    if traffic.base is not None:
        yield "randomised", lambda: randomised(traffic.swapped())


def measure(world: str, impressions: int, seed: int, *, own_only: bool = False) -> Iterator[dict[str, Any]]:
    """A row per estimator: error over the first five ranks, intervals that hold the truth, seconds."""
    make, own = WORLDS[world]
    traffic = make(np.random.default_rng(seed), impressions // RANKS)
    truth = traffic.truth / traffic.truth[0]
    for name, run in estimates(traffic):
        if own_only and name != own:
            continue
        start = time.perf_counter()
        found = run()
        row = {
            "world": world,
            "method": name,
            "own": name == own,
            "seed": seed,
            "elapsed_s": round(time.perf_counter() - start, 2),
            **found.as_dict(),
        }
        if len(found.theta) >= CHECKED:
            theta = np.array(found.theta[:CHECKED])
            row["error"] = round(float(np.abs(theta - truth[:CHECKED]).max()), 4)
            inside = (np.array(found.low[1:CHECKED]) <= truth[1:CHECKED]) & (
                truth[1:CHECKED] <= np.array(found.high[1:CHECKED])
            )
            row["covered"] = int(inside.sum())
        yield row


def main(argv: list[str] | None = None) -> int:
    """Print the table; exit status 1 when an estimator misses the bar in its own world."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--impressions", type=int, default=1_000_000)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--world", choices=sorted(WORLDS), action="append")
    parser.add_argument("--own", action="store_true", help="every estimator in its own world only")
    parser.add_argument("--json", action="store_true", help="one JSON object per line")
    options = parser.parse_args(argv)
    missed = 0
    if not options.json:
        print(
            "| world | method | largest error, ranks 1-5 | intervals that hold the truth | s |\n"
            "|---|---|---|---|---|"
        )
    for world in options.world or WORLDS:
        for seed in range(options.seeds):
            for row in measure(world, options.impressions, seed, own_only=options.own):
                missed += bool(row["own"] and row.get("error", 1) > BAR)
                if options.json:
                    print(json.dumps(row), flush=True)
                else:
                    print(_line(row), flush=True)
    return 1 if missed else 0


def _line(row: dict[str, Any]) -> str:
    name = f"**{row['method']}**" if row["own"] else row["method"]
    if "error" not in row:
        why = row.get("why_not") or "fewer than 5 ranks"
        return f"| {row['world']} | {name} | abstains: {why} | | {row['elapsed_s']} |"
    held = f"{row['covered']} of {CHECKED - 1}"
    return f"| {row['world']} | {name} | {row['error']:.3f} | {held} | {row['elapsed_s']} |"


if __name__ == "__main__":
    sys.exit(main())
