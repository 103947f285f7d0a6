"""Running an experiment: all variants over the same queries, with each result stored at once."""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from ragwheel.errors import DatasetError, ExperimentError, ModelError
from ragwheel.evaluate import MEASURES, Collection, Labels, StatisticsOptions, per_query
from ragwheel.evaluate.cache import cache_folder
from ragwheel.evaluate.measures import check_measure
from ragwheel.evaluate.statistics import Difference, holm, paired_difference
from ragwheel.evaluate.systems import Searcher
from ragwheel.experiments.documents import Cut, Place, Sources, cut, read_documents
from ragwheel.experiments.expectation import ExperimentVerdict, Gap, decide
from ragwheel.experiments.record import Experiment, Result, Variant, read_experiment, write_experiment
from ragwheel.experiments.settings import system_of
from ragwheel.files import write_atomically
from ragwheel.typing import Progress

__all__ = ["RunOptions", "run_experiment"]

Values = dict[str, dict[str, float]]  # by measure and query

_DEPTH: Final = 100
_INFERRED: Final = (
    "as good as expected, but labels inferred from clicks and citations prove nothing by themselves: judge "
    "some queries, use an evaluation set, or interleave"
)


@dataclass(frozen=True)
class RunOptions:
    """The options of a run.

    Args:
        documents: a folder of source documents (.txt, .md) to re-chunk; None: the present chunks.
        labels: the kind of labels that decides; None: explicit ones or an evaluation set's, whichever has
            more queries, else inferred ones.
        cache: the folder of cached vectors; None: no cache.
        statistics: the options of the tests.
        progress: called as ``(stage, done, total)``; if it raises, the run ends and finished variants are
            kept.
    """

    documents: Path | None = None
    labels: Labels | None = None
    cache: Path | None = field(default_factory=cache_folder)
    statistics: StatisticsOptions = field(default_factory=StatisticsOptions)
    progress: Progress | None = None


@dataclass(frozen=True)
class _Testbed:
    """The queries, labels and documents with which all variants are measured."""

    collection: Collection
    labels: Labels
    queries: tuple[str, ...]
    sources: Sources | None = None
    places: Mapping[str, Place] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        texts = sorted(self.sources.texts.items()) if self.sources else []
        identity = (self.collection.id, self.labels, sorted(self.queries), texts)
        return sha256(repr(identity).encode("utf-8", "surrogatepass")).hexdigest()[:12]


def run_experiment(
    folder: str | Path, name: str, collection: Collection, options: RunOptions | None = None
) -> Experiment:
    """Run the planned variants that have no result yet, and decide.

    If a variant cannot be run (a missing model, an adapter for another dimension), its error is recorded and
    the others are run; another run tries it again.

    Args:
        folder: the folder of the records.
        name: the experiment's id, or a prefix of it.
        collection: see :func:`~ragwheel.evaluate.read_traces` and :func:`~ragwheel.evaluate.read_beir`.
        options: see :class:`RunOptions`.

    Raises:
        ExperimentError: there is no such experiment, it is of another kind, or it was begun with other
            queries, judgments or documents.
    """
    options = options or RunOptions()
    experiment = read_experiment(folder, name)
    if experiment.kind != "retrieval" or len(experiment.variants) < 2:
        raise ExperimentError(
            f"{experiment.id} is of the kind {experiment.kind!r} with {len(experiment.variants)} variants; "
            f"what runs here is of the kind 'retrieval', with a baseline and a change. Plan one: ragwheel "
            f"experiment new"
        )
    metric = check_measure(experiment.metric)
    testbed = _testbed(collection, options)
    _check_same(experiment, testbed)
    values: dict[str, Values] = {}
    for done, variant in enumerate(experiment.variants):
        if options.progress is not None:
            options.progress("experiment", done, len(experiment.variants))
        file = Path(folder) / experiment.id / "per_query" / f"{_file_name(variant.name)}.json"
        earlier = experiment.result(variant.name)
        if earlier is not None and not earlier.error and file.is_file():
            values[variant.name] = json.loads(file.read_text("utf-8"))
            continue
        result, facts = _measure(variant, testbed, options)
        if facts:
            values[variant.name] = facts
            _keep(file, facts)
        experiment = experiment.with_results(result)
        write_experiment(folder, experiment)
    if options.progress is not None:
        options.progress("experiment", len(experiment.variants), len(experiment.variants))
    experiment = _decided(experiment, metric, values, testbed, options.statistics)
    write_experiment(folder, experiment)
    return experiment


def _testbed(collection: Collection, options: RunOptions) -> _Testbed:
    labels = options.labels or _labels(collection)
    if labels not in collection.qrels:
        raise ExperimentError(
            f"{collection.name} has no {labels} labels; it has: {', '.join(sorted(collection.qrels))}."
        )
    qrels = collection.qrels[labels]
    if options.documents is None:
        return _Testbed(collection, labels, tuple(qrels))
    sources = read_documents(options.documents)
    judged = {grade for grades in qrels.values() for grade in grades}
    places = sources.locate({chunk_id: collection.corpus[chunk_id] for chunk_id in sorted(judged)})
    queries = tuple(
        query
        for query in qrels
        if (positives := collection.relevant(labels, query)) and positives <= places.keys()
    )
    if not queries:
        raise ExperimentError(
            f"No query of {collection.name} has its relevant chunks in {options.documents}: are these the "
            f"sources that the index was made from?"
        )
    left_out = len(qrels) - len(queries)
    notes = (f"{left_out} of {len(qrels)} queries left out: a relevant chunk is not in the documents",)
    return _Testbed(collection, labels, queries, sources, places, notes if left_out else ())


def _labels(collection: Collection) -> Labels:
    """Return the kind of labels that can prove a gain and has the most queries."""
    proving: list[Labels] = [labels for labels in ("explicit", "evalset") if labels in collection.qrels]
    return max(proving, key=lambda labels: len(collection.qrels[labels])) if proving else "inferred"


def _check_same(experiment: Experiment, testbed: _Testbed) -> None:
    begun = {str(result.facts["ground"]) for result in experiment.results if not result.error}
    if begun - {testbed.key}:
        raise ExperimentError(
            f"{experiment.id} was begun on other queries, judgments or documents than "
            f"{testbed.collection.name} has now, so its variants could not be compared. Run it with the same "
            f"options as before, or plan another one: ragwheel experiment new"
        )


def _measure(variant: Variant, testbed: _Testbed, options: RunOptions) -> tuple[Result, Values]:
    start = time.monotonic()
    try:
        system = system_of(variant.settings, variant.name)
        searched, translate = testbed.collection, None
        if testbed.sources is not None:
            pieces = _cut(variant, testbed, testbed.sources)
            searched, translate = pieces.collection, pieces.translate
        run, took_s = system.run(searched, Searcher(_DEPTH, options.cache, options.progress))
        run.check(searched.queries, searched.corpus)
        asked = {query: run.rankings.get(query, ()) for query in testbed.queries}
        words = _words_at_10(asked, searched.corpus)
        if translate is not None:
            asked = {query: translate(ranking) for query, ranking in asked.items()}
        qrels = {query: testbed.collection.qrels[testbed.labels][query] for query in testbed.queries}
        values = per_query(replace(run, rankings=asked), qrels, testbed.collection.positive)
    except (DatasetError, ModelError, ExperimentError) as exc:
        return Result(variant.name, error=str(exc), elapsed_s=_since(start)), {}
    facts: dict[str, Any] = {
        "collection": testbed.collection.name,
        "ground": testbed.key,
        "documents": len(searched.corpus),
        "words_at_10": round(words),
        "cost": system.cost,
        "ms_per_query": round(1000 * took_s / len(searched.queries), 2),
    }
    if testbed.notes:
        facts["notes"] = list(testbed.notes)
    means = {measure: sum(values[measure].values()) / len(testbed.queries) for measure in MEASURES}
    return (
        Result(
            variant.name, means, len(testbed.queries), testbed.labels, elapsed_s=_since(start), facts=facts
        ),
        values,
    )


def _cut(variant: Variant, testbed: _Testbed, sources: Sources) -> Cut:
    sizes = int(variant.settings["chunk_words"]), int(variant.settings["overlap_words"])
    return cut(testbed.collection, sources, testbed.places, *sizes)


def _words_at_10(rankings: Mapping[str, tuple[str, ...]], corpus: Mapping[str, str]) -> float:
    """Return the mean number of words in the first ten chunks, as the cost of a prompt with them."""
    lengths = [
        sum(len(corpus[document].split()) for document in ranking[:10]) for ranking in rankings.values()
    ]
    return sum(lengths) / len(lengths)


def _decided(
    experiment: Experiment,
    metric: str,
    values: Mapping[str, Values],
    testbed: _Testbed,
    test: StatisticsOptions,
) -> Experiment:
    """Return the experiment with the gaps and verdicts of all measured variants, and the overall verdict."""
    first, *others = (variant.name for variant in experiment.variants)
    measured = [
        result for result in experiment.results if result.variant in others and result.variant in values
    ]
    if first not in values or not measured:
        why = next(result.error for result in experiment.results if result.error)
        return experiment.with_results(verdict=ExperimentVerdict("can't tell", f"nothing to compare: {why}"))
    expected = experiment.expectation
    base = [values[first][metric][query] for query in testbed.queries]
    wanted = [value + expected.required(value) for value in base]
    clusters = [testbed.collection.cluster(query) for query in testbed.queries]
    differences = []
    for result in measured:
        new = [values[result.variant][metric][query] for query in testbed.queries]
        differences.append([paired_difference(new, other, clusters, test) for other in (base, wanted)])
    corrected = holm([beyond.p for _, beyond in differences])
    proof = _INFERRED if testbed.labels == "inferred" else ""
    results, verdicts = [], []
    for result, (plain, beyond), p in zip(measured, differences, corrected):
        strict, certain = expected.amount == 0, p <= 1 - test.level
        verdict = decide(_gap(beyond), len(base), strict=strict, certain=certain, proof=proof)
        results.append(replace(result, gap=_gap(plain), verdict=verdict))
        verdicts.append((verdict, plain.mean, result.variant))
    return experiment.with_results(*results, verdict=_of_all(verdicts))


def _of_all(verdicts: list[tuple[ExperimentVerdict, float, str]]) -> ExperimentVerdict:
    """Return the overall verdict: met if a variant met it, not met if none did, else can't tell."""
    order = ("met", "can't tell", "not met")
    verdict, _, variant = min(verdicts, key=lambda entry: (order.index(entry[0].word), -entry[1]))
    if len(verdicts) == 1:
        return verdict
    return ExperimentVerdict(verdict.word, f"{variant}: {verdict.why}" if verdict.why else variant)


def _gap(difference: Difference) -> Gap:
    """Return the difference as a Gap, with None for values that are unknown."""
    low, high = (None if math.isnan(value) else float(value) for value in (difference.low, difference.high))
    return Gap(float(difference.mean), low, high, float(difference.p))


def _since(start: float) -> float:
    return round(time.monotonic() - start, 3)


def _file_name(name: str) -> str:
    tail = sha256(name.encode()).hexdigest()[:6]
    return f"{re.sub(r'[^A-Za-z0-9_.=-]+', '-', name)[:60]}-{tail}"


def _keep(path: Path, values: Values) -> None:
    path.parent.mkdir(exist_ok=True)
    write_atomically(path, json.dumps(values), private=True)
