"""Systems on a collection: run, measured, compared with what is there already."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ragwheel.errors import ConfigurationError
from ragwheel.evaluate.cache import cache_folder
from ragwheel.evaluate.collection import LABELS, Collection, Labels
from ragwheel.evaluate.criterion import CriterionOptions, Gain, expected_gain
from ragwheel.evaluate.measured import Comparison, Judged, Measured, compare_many
from ragwheel.evaluate.measures import PRIMARY, check_measure, per_query
from ragwheel.evaluate.models import embedder
from ragwheel.evaluate.runs import Run
from ragwheel.evaluate.statistics import StatisticsOptions
from ragwheel.evaluate.systems import Cost, Searcher, System, bm25, hybrid
from ragwheel.evaluate.verdict import judge_expected
from ragwheel.typing import Progress

__all__ = ["EvaluateOptions", "Evaluation", "SystemFacts", "baselines", "evaluate"]


@dataclass(frozen=True)
class EvaluateOptions:
    """How to evaluate.

    Args:
        reference: name of the system that the others are compared with; None: ``base`` if there is one, else
            the first.
        measure: that comparisons and verdicts go by.
        depth: how many documents a system ranks for a query.
        cache: where vectors are kept; None: nowhere.
        statistics: how to test.
    """

    reference: str | None = None
    measure: str = PRIMARY
    depth: int = 100
    cache: Path | None = field(default_factory=cache_folder)
    statistics: StatisticsOptions = field(default_factory=StatisticsOptions)

    def __post_init__(self) -> None:
        object.__setattr__(self, "measure", check_measure(self.measure))
        if self.depth < 40:
            raise ConfigurationError(f"depth is {self.depth}; allowed: 40 or more, for recall@40.")


@dataclass(frozen=True)
class SystemFacts:
    """A system that was evaluated: how to make it again, what using it asks for, what it took here.

    ``ms_per_query`` includes encoding what was not in the cache yet.
    """

    name: str
    spec: str
    cost: Cost
    ms_per_query: float
    dataset_id: str | None = None


@dataclass(frozen=True)
class Evaluation:
    """What systems reached on a collection.

    Attributes:
        collection: its name and id; ``documents`` and ``queries`` count what is in it.
        systems: in the order of the table.
        reference: name of the system that the others are compared with.
        measure: that comparisons go by.
        measured: per-query values by system.
        comparisons: with the reference, by system; the reference itself has none.
        expected: the expected gain over the reference in nDCG@10 by what traces let us believe, by system
            and slice; empty where there are no traces. A criterion to choose by, no proof.
        notes: what a reader of the figures should know.
        runs: rankings by system.
        options: how it was done.
    """

    collection: tuple[str, str]
    documents: int
    queries: dict[Labels, int]
    systems: tuple[SystemFacts, ...]
    reference: str
    measure: str
    measured: dict[str, Measured]
    comparisons: dict[str, Comparison]
    notes: tuple[str, ...]
    runs: dict[str, Run] = field(repr=False)
    statistics: StatisticsOptions
    elapsed_s: float = 0.0
    expected: dict[str, dict[str, Gain]] = field(default_factory=dict)

    @property
    def labels(self) -> tuple[Labels, ...]:
        """The kinds of labels that there are, most trusted first."""
        return tuple(labels for labels in LABELS if labels in self.queries)

    def slices(self, labels: Labels) -> tuple[str, ...]:
        """The slices that have queries."""
        judged = self.measured[self.reference].judged[labels]
        return tuple(part for part in judged.slices if judged.slice(part))


def baselines(base: System | str | None = "minilm") -> list[System]:
    """What stands in every table: BM25, the base model, and both by reciprocal rank fusion.

    Args:
        base: the embedder to beat, or what names one; None: BM25 alone.
    """
    words = bm25()
    if base is None:
        return [words]
    model = embedder(base, "base") if isinstance(base, str) else base
    return [words, model, hybrid(words, model)]


def evaluate(
    collection: Collection,
    systems: Sequence[System],
    *,
    options: EvaluateOptions | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Run systems over the queries of a collection and measure them.

    Args:
        collection: see :func:`~ragwheel.evaluate.read_traces` and :func:`~ragwheel.evaluate.read_beir`.
        systems: with :func:`baselines` among them, as a rule.
        options: see :class:`EvaluateOptions`.
        progress: called as the work goes on; what it raises ends it. Vectors computed so far are kept.

    Raises:
        ConfigurationError: two systems of one name, or no system is named like the reference.
        DatasetError: a system's rankings cannot be measured; says why.
        ModelError: a model cannot be loaded.
    """
    options = options or EvaluateOptions()
    start = time.monotonic()
    reference = _reference(systems, options)
    facts, runs, notes, measured = [], {}, list(collection.notes), {}
    judged = {labels: _judged(collection, labels) for labels in LABELS if labels in collection.qrels}
    for done, system in enumerate(systems):
        if progress is not None:
            progress("evaluate", done, len(systems))
        run, took_s = system.run(collection, Searcher(options.depth, options.cache, progress))
        notes += run.check(collection.queries, collection.corpus, may_be_empty=system.may_find_nothing)
        notes += _trained_elsewhere(system, collection)
        ms = round(1000 * took_s / len(collection.queries), 2)
        facts.append(SystemFacts(system.name, system.spec, system.cost, ms, system.dataset_id))
        values = {labels: per_query(run, collection.qrels[labels], collection.positive) for labels in judged}
        runs[system.name] = run
        measured[system.name] = Measured(system.name, (collection.name, collection.id), judged, values)
    if progress is not None:
        progress("evaluate", len(systems), len(systems))
    others = [name for name in measured if name != reference]
    compared = compare_many(
        [measured[name] for name in others],
        measured[reference],
        measures=(options.measure,),
        options=options.statistics,
    )
    expected = _expected(collection, judged, runs, reference, options.statistics.level)
    return Evaluation(
        collection=(collection.name, collection.id),
        documents=len(collection.corpus),
        queries={labels: len(rankings.cluster) for labels, rankings in judged.items()},
        systems=tuple(facts),
        reference=reference,
        measure=options.measure,
        measured=measured,
        comparisons={
            comparison.a: _by_expected(comparison, expected.get(comparison.a, {}), options)
            for comparison in compared
        },
        notes=tuple(notes),
        runs=runs,
        statistics=options.statistics,
        elapsed_s=time.monotonic() - start,
        expected=expected,
    )


def _expected(
    collection: Collection,
    judged: dict[Labels, Judged],
    runs: dict[str, Run],
    reference: str,
    level: float,
) -> dict[str, dict[str, Gain]]:
    """The expected gain of every system over the reference, by slice."""
    if not collection.beliefs or "inferred" not in judged:
        return {}
    found: dict[str, dict[str, Gain]] = {name: {} for name in runs if name != reference}
    for part in judged["inferred"].slices:
        beliefs = {query: collection.beliefs.get(query, {}) for query in judged["inferred"].slice(part)}
        clusters = {query: collection.cluster(query) for query in beliefs}
        for name, gains in found.items():
            if any(beliefs.values()):
                gains[part] = expected_gain(
                    beliefs, runs[reference].rankings, runs[name].rankings,
                    clusters=clusters, options=CriterionOptions(level=level),
                )  # fmt: skip
    return found


def _by_expected(comparison: Comparison, gains: dict[str, Gain], options: EvaluateOptions) -> Comparison:
    """The comparison with verdicts on inferred labels that go by the expected gain."""
    rows = (
        replace(row, verdict=judge_expected(gains[row.part], options.statistics))
        if row.labels == "inferred" and row.part in gains
        else row
        for row in comparison.rows
    )
    return replace(comparison, rows=tuple(rows))


def _reference(systems: Sequence[System], options: EvaluateOptions) -> str:
    names = [system.name for system in systems]
    if not names:
        raise ConfigurationError("There is no system to evaluate. Name one: --system mine=embedder:FOLDER")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigurationError(f"Two systems are called {twice[0]!r}; give each a name: --system NAME=SPEC")
    wanted = options.reference or next((name for name in ("base", "captured") if name in names), names[0])
    if wanted not in names:
        raise ConfigurationError(f"No system is called {wanted!r}; there are: {', '.join(names)}.")
    return wanted


def _judged(collection: Collection, labels: Labels) -> Judged:
    slices = collection.slices(labels)
    seen = set(slices.get("seen", ()))
    has_training_data = collection.seen is not None
    return Judged(
        cluster={query: collection.cluster(query) for query in slices["all"]},
        seen={query: query in seen for query in slices["all"]} if has_training_data else {},
    )


def _trained_elsewhere(system: System, collection: Collection) -> list[str]:
    if system.dataset_id is None or collection.dataset_id in (None, system.dataset_id):
        return []
    return [
        (
            f"{system.name} was trained on the dataset {system.dataset_id}, measured here on "
            f"{collection.dataset_id}: if that one did not keep its splits (--sticky-from), test queries may "
            f"have been trained on"
        )
    ]
