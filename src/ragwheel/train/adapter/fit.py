"""Vectors in, adapter out: :func:`fit_adapter` works over any embedding model or API."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ragwheel.deploy import Adapter
from ragwheel.errors import ModelError
from ragwheel.train.adapter import closed_form, ranking
from ragwheel.train.adapter.choosing import CrossFit, MapRecipe
from ragwheel.train.adapter.examples import AdapterExamples, Exposures, collect, unit
from ragwheel.train.adapter.options import MIN_DEV_QUERIES, MIN_QUERIES, AdapterOptions
from ragwheel.train.adapter.refine import refined
from ragwheel.train.adapter.segments import route
from ragwheel.train.held_out import SlicedGain
from ragwheel.typing import Progress

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from ragwheel.deploy import Router

    Floats = NDArray[np.float32]
    Ints = NDArray[np.int64]

__all__ = ["AdapterFit", "SegmentFit", "fit_adapter", "fit_examples"]

_MOST_DEV_QUERIES = 500
_MOST_DOCUMENTS = 10_000  # that dev ranks; all that dev's rows name, and others at random
"""Told (stage, done, total), in epochs."""


@dataclass(frozen=True, slots=True)
class SegmentFit:
    """What was chosen for one segment, by its dev queries: ``own``, ``all`` (the map of all) or ``base``."""

    name: str
    n_train: int
    n_dev: int
    chosen: str
    base: float
    adapted: float


@dataclass(frozen=True, slots=True)
class AdapterFit:
    """An adapter and what its dev queries say: means of ``metric``, ranking up to 10,000 documents.

    Attributes:
        adapter: the identity map when nothing was better than the base model.
        base, adapted: the metric without and with it.
        low, high: 95 % interval of the difference (paired, over queries). The choices were made on the same
            queries, so it flatters: prove the adapter on test.
        chosen: how the map was made.
        epochs: of refinement that went into it.
        gain: where exposures were given: the expected gain of the maps that were chosen by, on questions that
            each of them was not trained on, in all and by what the training was about. No proof.
        note: why it is the identity, or empty.
    """

    adapter: Adapter
    metric: str
    base: float
    adapted: float
    low: float
    high: float
    chosen: str
    epochs: int
    n_train: int
    n_dev: int
    n_documents: int
    segments: tuple[SegmentFit, ...]
    elapsed_s: float
    note: str = ""
    gain: SlicedGain | None = None


def fit_adapter(  # noqa: PLR0913 - all but three by keyword
    query_vectors: ArrayLike,
    positive_vectors: ArrayLike,
    negative_vectors: ArrayLike | None = None,
    *,
    weights: ArrayLike | None = None,
    segments: Sequence[str] | None = None,
    exposures: Exposures | None = None,
    dev_rows: ArrayLike | None = None,
    options: AdapterOptions | None = None,
    base: str = "",
    progress: Progress | None = None,
) -> AdapterFit:
    """Fit an adapter to r training rows of vectors, each made by the same embedding model.

    Args:
        query_vectors, positive_vectors: (r, d) the query and a relevant document of each row.
        negative_vectors: (r, d) or (r, h, d) documents that look alike and are not relevant; NaN for none.
        weights: (r,) confidence of each row, from 0.
        segments: (r,) names of the queries' types, for ``AdapterOptions(segments="column")``.
        exposures: (e, d) vectors of queries, (e, d) of chunks that were exposed for them, and (e,) the belief
            that each is relevant, 0-1. Then that is chosen which is expected to bring relevant chunks higher
            on questions held out in turn (:mod:`ragwheel.evaluate.criterion`); else what ranks dev best.
        dev_rows: (r,) true for the rows that training must not see and choices are made on. Where these are
            of fewer than ten queries, others are drawn, up to ``options.dev_share`` of all queries.
        options: how; see :class:`AdapterOptions`.
        base: name of the embedding model, kept with the adapter.
        progress: called as training goes on.

    Raises:
        ModelError: too few queries, no dev queries, vectors that do not match or are not finite.
        MissingExtra: torch (contrastive) or scikit-learn (clusters) is not installed.
    """
    options = options or AdapterOptions()
    examples = collect(
        query_vectors, positive_vectors, negative_vectors,
        weights=weights, segments=segments, exposures=exposures,
    )  # fmt: skip
    dev = _held_out(examples, dev_rows, options)
    train = np.setdiff1d(np.arange(len(examples.queries)), dev)
    return fit_examples(
        examples.only(train), examples.only(np.sort(dev)), options,
        exposed=exposures is not None, base=base, progress=progress,
    )  # fmt: skip


def fit_examples(
    train: AdapterExamples,
    dev: AdapterExamples,
    options: AdapterOptions,
    *,
    exposed: bool = False,
    base: str = "",
    progress: Progress | None = None,
) -> AdapterFit:
    """:func:`fit_adapter` for examples whose split is made; both number the same documents.

    ``exposed``: choose by what was exposed for the queries, not by dev's rows.
    """
    began = time.perf_counter()
    choice = (_by_gain if exposed else _by_dev)(train, dev, options, progress)
    train, dev = train.taught, dev.taught
    recipe, note, whole = choice.recipe, choice.note, choice.whole
    maps, parts, routing = [whole], [], route(train, options)
    map_of: list[int] = []
    for number, name in enumerate(routing[0] if routing else ()):
        part, own = _segment(number, name, routing[1], (train, dev), whole, options, progress)  # type: ignore[index]
        if own is not None:
            maps.append(own)
        map_of.append(len(maps) - 1 if own is not None else {"all": 0, "base": -1}[part.chosen])
        parts.append(part)
    names, router = routing or ((), None)
    adapter = Adapter(np.stack(maps), names, tuple(map_of), router, base)
    judge, gain = _Judge(dev, options), choice.gain
    unadapted, scores = (judge.scores_of(each) for each in (_identity(whole, base), adapter))
    worse = scores.mean() <= unadapted.mean() if gain is None else gain.all.high < 0
    if adapter.is_identity or worse:
        adapter, scores, recipe = _identity(whole, base), unadapted, MapRecipe(closed_form.IDENTITY)
        note = _nothing_better(judge, options) if gain is None else _nothing_gained(gain.all.queries)
    difference = scores - unadapted
    margin = 1.96 * difference.std(ddof=1) / len(difference) ** 0.5
    return AdapterFit(
        adapter, options.metric, float(unadapted.mean()), float(scores.mean()),
        float(difference.mean() - margin), float(difference.mean() + margin), str(recipe), recipe.epochs,
        len(train.queries), len(dev.queries), len(train.documents), tuple(parts),
        time.perf_counter() - began, note, gain,
    )  # fmt: skip


@dataclass(frozen=True)
class _Choice:
    """A recipe, its map of all training rows, what is expected of it, and what there is to say."""

    recipe: MapRecipe
    whole: Floats
    gain: SlicedGain | None = None
    note: str = ""


def _by_gain(
    train: AdapterExamples, dev: AdapterExamples, options: AdapterOptions, progress: Progress | None
) -> _Choice:
    """Choose by the expected gain on all questions, each held out once."""
    crossed = CrossFit.of(train, dev, _ranked_documents(train, dev, options), options)
    recipe, whole, held_out = crossed.best("all queries", progress)
    return _Choice(recipe, whole, crossed.gain(held_out))


def _by_dev(
    train: AdapterExamples, dev: AdapterExamples, options: AdapterOptions, progress: Progress | None
) -> _Choice:
    """Choose by what the labels of dev say."""
    trial = _Trial.of(train, dev, options)
    recipe, whole = trial.best("all queries", progress)
    return _Choice(recipe, whole, note=trial.note)


class _Judge:
    """Ranks all documents for the dev queries."""

    def __init__(self, dev: AdapterExamples, options: AdapterOptions) -> None:
        self.dev, self.options = dev, options
        relevant = dev.relevant()
        kept = np.arange(len(dev.documents))
        if len(kept) > _MOST_DOCUMENTS:
            needed = np.union1d(dev.positive, dev.negatives[dev.negatives >= 0])
            others = np.random.default_rng(options.seed).permutation(np.setdiff1d(kept, needed))
            kept = np.sort(np.concatenate([needed, others[: max(0, _MOST_DOCUMENTS - len(needed))]]))
        self.documents = dev.documents[kept]
        self.relevant = [np.searchsorted(kept, each) for each in relevant]
        self.base = float(self._of(dev.queries, self.documents).mean())

    def scores(self, change: Floats) -> NDArray[np.float64]:
        """The metric (n,) of each dev query after ``q + qD``."""
        documents = self.documents
        if self.options.side == "both":
            documents = unit(documents + documents @ change)
        return self._of(unit(self.dev.queries + self.dev.queries @ change), documents)

    def mean(self, change: Floats) -> float:
        """The metric's mean."""
        return float(self.scores(change).mean())

    def scores_of(self, adapter: Adapter) -> NDArray[np.float64]:
        """The same with an adapter, router and all."""
        if self.options.side == "both":
            return self.scores(adapter.maps[0])
        return self._of(adapter.query(self.dev.queries), self.documents)

    def _of(self, queries: Floats, documents: Floats) -> NDArray[np.float64]:
        return ranking.per_query(self.options.metric, ranking.top(queries, documents), self.relevant)


@dataclass(frozen=True)
class _Trial:
    """Tries recipes, and chooses by two questions that dev answers.

    How well does the map of all training rows rank for all dev queries? That is what the app will see. And
    does the recipe hold for documents that were not trained on? A map can learn by heart where the documents
    of its training queries lie, which wins on queries about the same documents and loses on all others
    (docs/adapters.md has figures). So each recipe is also made of ``lean``, the training rows that share no
    relevant document with ``apart``, and must not rank those dev queries worse than the base model does.
    """

    train: AdapterExamples
    lean: AdapterExamples
    all: _Judge
    apart: _Judge
    options: AdapterOptions
    note: str = ""

    @classmethod
    def of(cls, train: AdapterExamples, dev: AdapterExamples, options: AdapterOptions) -> _Trial:
        judge = _Judge(dev, options)
        lean = train.rows(np.flatnonzero(~np.isin(train.positive, dev.positive)))
        if len(lean.queries) >= max(MIN_QUERIES, len(train.queries) // 2):
            return cls(train, lean, judge, judge, options)
        mixed = np.unique(dev.query[np.isin(dev.positive, train.positive)])
        apart = np.setdiff1d(np.arange(len(dev.queries)), mixed)
        if len(apart) >= MIN_DEV_QUERIES:
            return cls(train, train, judge, _Judge(dev.only(apart), options), options)
        return cls(
            train, train, judge, judge, options,
            "dev and train ask about the same documents: how the adapter ranks documents that nobody has "
            "asked about yet was not measured",
        )  # fmt: skip

    def score(self, change: Floats, lean_change: Floats) -> float:
        """The metric on all dev queries; -1 when the recipe loses on documents not trained on."""
        if self.apart.mean(lean_change) < self.apart.base:
            return -1.0
        return self.all.mean(change)

    def best(self, what: str, progress: Progress | None) -> tuple[MapRecipe, Floats]:
        """The best recipe and its map of all training rows; the identity when none is better."""
        best = closed_form.IDENTITY.of(self.train)
        lean, form, score = best, closed_form.IDENTITY, self.all.base
        for each in closed_form.grid(self.options.method) if self.options.side == "query" else ():
            refinement = each.of(self.train), each.of(self.lean)
            if (found := self.score(*refinement)) > score:
                (best, lean), form, score = refinement, each, found
        if self.options.method != "contrastive":
            return MapRecipe(form), best
        epochs = 0
        refinements = zip(*(refined(rows, begin, self.options)
                            for rows, begin in ((self.train, best), (self.lean, lean))))  # fmt: skip
        for epoch, refinement in enumerate(refinements, 1):
            if progress is not None:
                progress(what, epoch, self.options.epochs)
            if (found := self.score(*refinement)) > score:
                best, score, epochs = refinement[0], found, epoch
            if epoch - epochs >= self.options.patience:
                break
        return MapRecipe(form, epochs), best


def _segment(  # noqa: PLR0913, PLR0917 - all of what a segment is chosen from
    number: int,
    name: str,
    router: Router,
    split: tuple[AdapterExamples, AdapterExamples],
    shared: Floats,
    options: AdapterOptions,
    progress: Progress | None,
) -> tuple[SegmentFit, Floats | None]:
    """What a segment takes, by its own dev queries: a map of its own, that of all queries, or the base's."""
    train, dev = (each.only(np.flatnonzero(router.segments(each.queries) == number)) for each in split)
    sizes = (name, len(train.queries), len(dev.queries))
    if len(dev.queries) < MIN_DEV_QUERIES or len(train.queries) < MIN_QUERIES:
        return SegmentFit(*sizes, "all", math.nan, math.nan), None
    trial = _Trial.of(train, dev, options)
    base, of_all = trial.all.base, trial.all.mean(shared)
    own = trial.best(name, progress)[1]
    if (found := trial.all.mean(own)) > max(base, of_all):
        return SegmentFit(*sizes, "own", base, found), own
    chosen = "all" if of_all >= base else "base"
    return SegmentFit(*sizes, chosen, base, max(base, of_all)), None


def _ranked_documents(train: AdapterExamples, dev: AdapterExamples, options: AdapterOptions) -> Ints:
    """Numbers of the documents that are ranked: all exposed ones, and others at random, 10,000 in all."""
    kept = np.arange(len(train.documents))
    if len(kept) <= _MOST_DOCUMENTS:
        return kept
    needed = np.union1d(train.exposed.document, dev.exposed.document)
    others = np.random.default_rng(options.seed).permutation(np.setdiff1d(kept, needed))
    return np.sort(np.concatenate([needed, others[: max(0, _MOST_DOCUMENTS - len(needed))]]))


def _nothing_better(judge: _Judge, options: AdapterOptions) -> str:
    return (
        f"no map ranked the {len(judge.dev.queries)} dev queries better than the base model "
        f"({options.metric} {judge.base:.4f}) without losing on documents that it was not trained "
        "on: the adapter changes nothing"
    )


def _nothing_gained(queries: int) -> str:
    return (
        f"no map is expected to bring relevant chunks higher than the base model does, by {queries:,} "
        "questions that were held out in turn, without losing on documents that it was not trained on: the "
        "adapter changes nothing"
    )


def _identity(like: Floats, base: str) -> Adapter:
    return Adapter(np.zeros_like(like)[None], base=base)


def _held_out(examples: AdapterExamples, dev_rows: ArrayLike | None, options: AdapterOptions) -> Ints:
    """Numbers of the dev queries, sorted: those of the marked rows, and others where these are too few.

    Raises:
        ModelError: there are not enough queries to train and to choose.
    """
    taught, marked = np.unique(examples.query), np.empty(0, np.int64)
    if dev_rows is not None:
        rows = np.asarray(dev_rows, dtype=bool)
        if rows.shape != examples.query.shape:
            raise ModelError(f"dev_rows: got shape {rows.shape}, allowed: {examples.query.shape}")
        marked = np.unique(examples.query[rows])
    if len(marked) < MIN_DEV_QUERIES:
        wanted = min(_MOST_DEV_QUERIES, max(MIN_DEV_QUERIES, round(options.dev_share * len(taught))))
        others = np.random.default_rng(options.seed).permutation(np.setdiff1d(taught, marked))
        marked = np.union1d(marked, others[: wanted - len(marked)])
    left = len(np.setdiff1d(taught, marked))
    if left < MIN_QUERIES:
        raise ModelError(
            f"training an adapter: {left} training queries beside {len(marked)} dev queries, needed: "
            f"{MIN_QUERIES}, better 200. Collect more turns (`ragwheel status` says how far), or use "
            "few-shot examples until then."
        )
    return marked
