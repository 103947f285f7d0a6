"""Per-query values of systems, and their comparison two by two."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from ragwheel.errors import DatasetError
from ragwheel.evaluate.collection import LABELS, Labels
from ragwheel.evaluate.measures import MEASURES, PRIMARY
from ragwheel.evaluate.statistics import Difference, StatisticsOptions, holm, paired_difference
from ragwheel.evaluate.verdict import Verdict, judge

__all__ = ["SLICES", "Compared", "Comparison", "Judged", "Measured", "compare", "compare_many"]

SLICES: Final = ("all", "seen", "unseen")


@dataclass(frozen=True)
class Judged:
    """The queries that labels of one kind exist for: their clusters and slices.

    ``cluster`` and ``seen`` go by query id; ``seen`` is empty where the training positives are not known.
    """

    cluster: Mapping[str, str]
    seen: Mapping[str, bool] = field(default_factory=dict)

    def slice(self, name: str) -> list[str]:
        """Query ids of ``all``, ``seen`` or ``unseen``."""
        return [q for q in self.cluster if name == "all" or self.seen.get(q) is (name == "seen")]

    @property
    def slices(self) -> tuple[str, ...]:
        """The names of the slices."""
        return SLICES if self.seen else SLICES[:1]


@dataclass(frozen=True)
class Measured:
    """What one system reached on every query.

    Attributes:
        system: its name.
        collection: name and id of what it was measured on.
        judged: the queries, by kind of label.
        values: by kind of label, measure and query id.
    """

    system: str
    collection: tuple[str, str]
    judged: Mapping[Labels, Judged]
    values: Mapping[Labels, Mapping[str, Mapping[str, float]]]

    def mean(self, labels: Labels, measure: str, part: str = "all") -> float:
        """The mean over the queries of a slice; NaN where it has none."""
        queries = self.judged[labels].slice(part)
        values = self.values[labels][measure]
        return sum(values[query] for query in queries) / len(queries) if queries else float("nan")


@dataclass(frozen=True)
class Compared:
    """One measure on one slice with one kind of label; ``p_corrected`` is Holm's, for all systems."""

    labels: Labels
    part: str
    measure: str
    a: float
    b: float
    difference: Difference
    p_corrected: float
    verdict: Verdict


@dataclass(frozen=True)
class Comparison:
    """System ``a`` against system ``b``; positive differences: ``a`` is ahead."""

    a: str
    b: str
    collection: str
    rows: tuple[Compared, ...]

    @property
    def verdict(self) -> Verdict:
        """Of the first measure over all queries, with the most trusted labels there are."""
        return self.rows[0].verdict


def compare(
    a: Measured,
    b: Measured,
    *,
    measures: tuple[str, ...] = (PRIMARY, *MEASURES[1:-2]),
    options: StatisticsOptions | None = None,
) -> Comparison:
    """Two systems on the same queries, measure by measure; the verdict is that of the first measure.

    Raises:
        DatasetError: they were not measured on the same queries and judgments.
    """
    return compare_many([a], b, measures=measures, options=options)[0]


def compare_many(
    systems: list[Measured],
    reference: Measured,
    *,
    measures: tuple[str, ...] = (PRIMARY,),
    options: StatisticsOptions | None = None,
) -> list[Comparison]:
    """Several systems with one; p values are corrected for how many there are (Holm 1979).

    Raises:
        DatasetError: they were not measured on the same queries and judgments.
    """
    options = options or StatisticsOptions()
    rows: list[list[Compared]] = [[] for _ in systems]
    for measured in systems:
        _same(measured, reference)
    for labels in (kind for kind in LABELS if kind in reference.judged):
        judged = reference.judged[labels]
        for measure in measures:
            for part in judged.slices:
                queries = judged.slice(part)
                if not queries:
                    continue
                clusters = [judged.cluster[query] for query in queries]
                differences = [
                    paired_difference(
                        [system.values[labels][measure][query] for query in queries],
                        [reference.values[labels][measure][query] for query in queries],
                        clusters,
                        options,
                    )
                    for system in systems
                ]
                corrected = holm([difference.p for difference in differences])
                for index, (one, difference, p) in enumerate(zip(systems, differences, corrected)):
                    means = one.mean(labels, measure, part), reference.mean(labels, measure, part)
                    verdict = judge(difference, labels, p, options.level)
                    rows[index].append(Compared(labels, part, measure, *means, difference, p, verdict))
    return [
        Comparison(system.system, reference.system, reference.collection[0], tuple(row))
        for system, row in zip(systems, rows)
    ]


def _same(a: Measured, b: Measured) -> None:
    if a.collection[1] != b.collection[1]:
        raise DatasetError(
            f"{a.system} was measured on {a.collection[0]} ({a.collection[1]}), {b.system} on "
            f"{b.collection[0]} ({b.collection[1]}): other queries, judgments or documents, so there is no "
            f"query by query difference. Evaluate both in one go: ragwheel evaluate --system A --system B"
        )
