"""Counts per query, and what they amount to; intervals resample queries, for their rows go together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import numpy.typing as npt
from scipy.stats import kendalltau

from labels.systems import Labels
from labels.worlds import World

__all__ = ["Interval", "Tally"]

_Sums = Callable[[str], npt.NDArray[np.float64]]
_Figure = Callable[[_Sums], npt.NDArray[np.float64]]
_BINS = 10
_RESAMPLES = 1_000


@dataclass(frozen=True)
class Interval:
    """A figure and the 95 % interval of resampled queries; all NaN where there is nothing to count."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return "–" if np.isnan(self.value) else f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


@dataclass
class Tally:
    """What one system got right on one kind of traffic, summed over seeds, per query."""

    world: World
    _sums: defaultdict[str, npt.NDArray[np.float64]] = field(init=False)
    _taus: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._place = {query: n for n, query in enumerate(self.world.queries)}
        self._sums = defaultdict(partial(np.zeros, len(self._place)))

    def add(self, labels: Labels) -> None:
        """One seed."""
        positive, both = set(), set()
        for query, doc in labels.positives:
            self._count("positives", query, "right positives" if self._relevant(query, doc) else "")
            positive.add(query)
        for (query, doc), strategy in labels.negatives.items():
            right = not self._relevant(query, doc)
            self._count("negatives", query, "right negatives" if right else "")
            self._count(f"negatives {strategy}", query, f"right negatives {strategy}" if right else "")
            both.add(query)
        for query in positive:
            self._count("with positive", query, "with both" if query in both else "")
        for (query, doc, says), confidence in labels.decided.items():
            self._calibrate("decided", query, confidence, says == self._relevant(query, doc))
        for (query, doc), belief in labels.beliefs.items():
            self._calibrate("belief", query, belief, self._relevant(query, doc))
        self._taus.extend(self._tau(labels))

    def share(self, right: str, of: str) -> Interval:
        """Ratio of two sums."""
        return self._interval(lambda sums: _ratio(sums(right), sums(of)))

    def count(self, what: str) -> int:
        """A sum over queries and seeds."""
        return int(self._sums[what].sum()) if what in self._sums else 0

    def strategies(self) -> list[str]:
        """Of the negatives."""
        head = "negatives "
        return sorted(name[len(head) :] for name in self._sums if name.startswith(head))

    def ece(self, what: str) -> Interval:
        """Expected calibration error over ten equal bins (Naeini et al., AAAI 2015)."""

        def error(sums: _Sums) -> npt.NDArray[np.float64]:
            total = np.maximum(sums(f"{what} n"), 1)
            gaps = [np.abs(sums(f"{what} said {b}") - sums(f"{what} true {b}")) for b in range(_BINS)]
            return np.asarray(sum(gaps) / total)

        return self._interval(error) if self.count(f"{what} n") else Interval(np.nan, np.nan, np.nan)

    def brier(self, what: str) -> Interval:
        """Mean squared error of the probability."""
        return self.share(f"{what} square", f"{what} n")

    def base_brier(self, what: str) -> float:
        """The same of always saying the base rate."""
        n = self._sums[f"{what} n"].sum()
        rate = sum(self._sums[f"{what} true {b}"].sum() for b in range(_BINS)) / n if n else np.nan
        return float(rate * (1 - rate))

    def tau(self) -> float:
        """Mean Kendall tau-b of beliefs against human grades, over queries and seeds."""
        return float(np.mean(self._taus)) if self._taus else float("nan")

    def _relevant(self, query: str, doc: str) -> bool:
        return self.world.grades[query].get(doc, 0) > 0

    def _count(self, what: str, query: str, right: str) -> None:
        self._sums[what][self._place[query]] += 1
        if right:
            self._sums[right][self._place[query]] += 1

    def _calibrate(self, what: str, query: str, said: float, true: bool) -> None:
        place, b = self._place[query], min(int(said * _BINS), _BINS - 1)
        for name, value in (
            ("n", 1.0), ("square", (said - true) ** 2), (f"said {b}", said), (f"true {b}", float(true)),
        ):  # fmt: skip
            self._sums[f"{what} {name}"][place] += value

    def _tau(self, labels: Labels) -> list[float]:
        by_query: dict[str, list[tuple[float, int]]] = {}
        for (query, doc), belief in labels.beliefs.items():
            grade = self.world.grades[query].get(doc, 0)
            by_query.setdefault(query, []).append((belief, grade))
        found = []
        for pairs in by_query.values():
            said, true = zip(*pairs)
            if len(set(true)) > 1 and len(set(said)) > 1:
                found.append(float(kendalltau(said, true, variant="b").statistic))
        return found

    def _interval(self, figure: _Figure) -> Interval:
        rng = np.random.default_rng(0)
        drawn = rng.multinomial(
            len(self._place), np.full(len(self._place), 1 / len(self._place)), _RESAMPLES
        ).astype(float)
        value = figure(lambda name: np.asarray([self._sums[name].sum()]))[0]
        sampled = figure(lambda name: drawn @ self._sums[name])
        sampled = sampled[~np.isnan(sampled)]
        low, high = np.percentile(sampled, [2.5, 97.5]) if sampled.size else (np.nan, np.nan)
        return Interval(float(value), float(low), float(high))


def _ratio(part: npt.NDArray[np.float64], whole: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.where(whole > 0, part / np.where(whole > 0, whole, 1), np.nan)
