"""Systems: what can rank a collection's documents for its queries."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import unquote

from ragwheel.deploy.fusing import Fusion
from ragwheel.errors import ConfigurationError, DatasetError
from ragwheel.evaluate.cache import cache_folder
from ragwheel.evaluate.collection import Collection
from ragwheel.evaluate.runs import Ranking, Run, ranked, read_run, scores_of
from ragwheel.labels.traces.text import words_of
from ragwheel.typing import Progress
from ragwheel.words import is_spaceless

__all__ = [
    "Cost",
    "Searcher",
    "System",
    "bm25",
    "captured",
    "from_callable",
    "from_run",
    "fused_by",
    "hybrid",
    "tuned_hybrid",
]

#: What using a system asks for, cheapest first: nothing; a word index, or a product with a matrix per query;
#: all documents embedded anew; two indexes; a model that reads every candidate for every query.
Cost = Literal["nothing", "light", "re-index", "two indexes", "model per query"]
COSTS: Final[tuple[Cost, ...]] = ("nothing", "light", "re-index", "two indexes", "model per query")

_RRF_K: Final = 60


@dataclass(frozen=True)
class Searcher:
    """What a system is given to work with.

    Args:
        depth: how many documents to rank for a query.
        cache: where vectors and scores are kept between evaluations; None: nowhere.
        progress: told how far the work is.
    """

    depth: int = 100
    cache: Path | None = field(default_factory=cache_folder)
    progress: Progress | None = None

    def tell(self, stage: str, done: int, total: int) -> None:
        """Pass progress on."""
        if self.progress is not None:
            self.progress(stage, done, total)


@dataclass(frozen=True)
class System:
    """A named way of ranking.

    Args:
        name: in tables and files.
        spec: how to make it again, as the command line names it.
        search: ranks the documents of a collection for all of its queries: ids by query id, best first.
        cost: what using it asks for.
        dataset_id: of the dataset folder that it was trained on, where its card says so.
        may_find_nothing: whether finding nothing for any query is a result (0 everywhere) and no mistake.
    """

    name: str
    spec: str
    search: Callable[[Collection, Searcher], Mapping[str, tuple[str, ...]]]
    cost: Cost = "light"
    dataset_id: str | None = None
    may_find_nothing: bool = False

    def run(self, collection: Collection, searcher: Searcher) -> tuple[Run, float]:
        """Its rankings, and the seconds that they took.

        Raises:
            DatasetError: it ranks a document twice, scores one NaN, or knows none of the queries or
                documents.
        """
        start = time.monotonic()
        match = self.search(collection, searcher)
        run = Run(self.name, {query: tuple(ranking)[: searcher.depth] for query, ranking in match.items()})
        return run, time.monotonic() - start


def bm25(name: str = "bm25") -> System:
    """BM25 by bm25s with its defaults (Lucene's variant, k1 1.5, b 0.75, English stop words).

    Words are those that the labels go by: letters with their vowel signs, and in scripts without spaces
    between words pairs of neighbouring characters. A query without a known word finds nothing and counts 0.
    """

    def search(collection: Collection, searcher: Searcher) -> Mapping[str, tuple[str, ...]]:
        import bm25s

        documents = list(collection.corpus)
        searcher.tell("bm25", 0, 2)
        words = [_words(text) for text in collection.corpus.values()]
        if not any(words):
            return dict.fromkeys(collection.queries, ())
        index = bm25s.BM25()
        index.index(words, show_progress=False)
        searcher.tell("bm25", 1, 2)
        k = min(searcher.depth, len(documents))
        system: dict[str, tuple[str, ...]] = {}
        for query, text in collection.queries.items():
            tokens = _words(text)
            if not any(token in index.vocab_dict for token in tokens):
                system[query] = ()
                continue
            places, scores = index.retrieve([tokens], k=k, show_progress=False)
            hits = [(documents[p], float(s)) for p, s in zip(places[0], scores[0]) if s > 0]
            system[query] = ranked(hits, f"{name}, query {query}")
        searcher.tell("bm25", 2, 2)
        return system

    return System(name, "bm25", search, "light", may_find_nothing=True)


def _words(text: str) -> list[str]:
    """The words of a text as BM25 counts them, without English stop words and single letters."""
    return [word for word in words_of(text) if word not in _stop_words() and _is_word(word)]


def _is_word(word: str) -> bool:
    return len(word) > 1 or is_spaceless(word)


@cache
def _stop_words() -> frozenset[str]:
    from bm25s.stopwords import STOPWORDS_EN

    return frozenset(STOPWORDS_EN)


def hybrid(first: System, second: System, name: str = "hybrid", *, k: int = _RRF_K) -> System:
    """Two systems by reciprocal rank fusion: the sum of ``1 / (k + rank)`` (Cormack et al., SIGIR 2009)."""

    def search(collection: Collection, searcher: Searcher) -> Mapping[str, tuple[str, ...]]:
        return fused([system.search(collection, searcher) for system in (first, second)], k=k)

    return System(name, f"hybrid of {first.spec} and {second.spec}", search, "two indexes")


def fused(runs: Sequence[Mapping[str, tuple[str, ...]]], *, k: int = _RRF_K) -> dict[str, tuple[str, ...]]:
    """Rankings of several systems as one, by reciprocal rank fusion."""
    rankings: dict[str, tuple[str, ...]] = {}
    for query in dict.fromkeys(query for run in runs for query in run):
        scores: dict[str, float] = {}
        for run in runs:
            for rank, document in enumerate(run.get(query, ()), 1):
                scores[document] = scores.get(document, 0.0) + 1 / (k + rank)
        rankings[query] = ranked(list(scores.items()), f"hybrid, query {query}")
    return rankings


def fused_by(fusion: Fusion, runs: Sequence[Mapping[str, tuple[str, ...]]]) -> dict[str, tuple[str, ...]]:
    """Rankings of several systems as one, by tuned weights."""
    found: dict[str, tuple[str, ...]] = {}
    for query in dict.fromkeys(query for run in runs for query in run):
        rankings = [run.get(query, ()) for run in runs]
        scores = [scores_of(ranking) for ranking in rankings]
        lists = [
            [(document, own.get(document)) for document in ranking] for ranking, own in zip(rankings, scores)
        ]
        found[query] = ranked(fusion.fuse(lists), f"fusion, query {query}")
    return found


def tuned_hybrid(fusion: Fusion, first: System, second: System, name: str, spec: str = "") -> System:
    """Two systems by weights that ``ragwheel train fusion`` tuned.

    Args:
        fusion: the weights.
        first, second: in the order of the weights.
        name: in tables.
        spec: how to make it again.
    """

    def search(collection: Collection, searcher: Searcher) -> Mapping[str, tuple[str, ...]]:
        return fused_by(fusion, [system.search(collection, searcher) for system in (first, second)])

    return System(name, spec or f"tuned hybrid of {first.spec} and {second.spec}", search, "two indexes")


def captured(version: str = "", name: str = "captured") -> System:
    """The rankings as the traces have them: the retriever of the app itself, without running it.

    Args:
        version: of the retriever; empty: the latest ranking of each query by whichever version.
        name: in tables.
    """

    def search(collection: Collection, _searcher: Searcher) -> Mapping[str, tuple[str, ...]]:
        try:
            return collection.captured[version]
        except KeyError:
            versions = ", ".join(repr(version) for version in collection.captured if version) or "none"
            raise DatasetError(
                f"{collection.name} has no captured rankings of "
                + (
                    f"version {version!r}; it has: {versions}."
                    if version
                    else "any retriever for these queries."
                )
                + " Rankings are captured in the traces of an app: evaluate with a dataset and --db."
            ) from None

    return System(name, f"captured:{version}" if version else "captured", search, "nothing")


def from_run(path: str | Path, name: str | None = None) -> System:
    """The rankings of a TREC run file, of whatever made them; ids as in :func:`from_callable`.

    Raises:
        DatasetError: see :func:`~ragwheel.evaluate.runs.read_run`.
    """
    run = read_run(path, name)

    def search(collection: Collection, _: Searcher) -> Mapping[str, tuple[str, ...]]:
        corpus = collection.corpus
        own = _own_ids(corpus)
        documents = {document for ranking in run.rankings.values() for document in ranking}
        # our own exports leave out the source where there is only one
        ids = {d: own[d] for d in documents if d not in corpus and d in own}
        return {
            query: Ranking((ids.get(d, d) for d in ranking), scores_of(ranking).values()) if ids else ranking
            for query, ranking in run.rankings.items()
        }

    return System(run.name, f"run:{path}", search, "light")


def from_callable(function: Callable[[str, int], Iterable[Any]], name: str, spec: str = "") -> System:
    """A function from a query and a number to the ids of that many documents, best first.

    Args:
        function: may give ids, ``(id, score)`` with the order deciding, or objects with an ``id``. An id is
            the collection's (``source/id`` for traces) or the app's own where no two sources share it.
        name: in tables.
        spec: how to find it again.
    """

    def search(collection: Collection, searcher: Searcher) -> Mapping[str, tuple[str, ...]]:
        own = _own_ids(collection.corpus)
        system: dict[str, tuple[str, ...]] = {}
        for done, (query, text) in enumerate(collection.queries.items(), 1):
            ids = (_id(hit, name) for hit in function(text, searcher.depth))
            system[query] = tuple(
                document if document in collection.corpus else own.get(document, document) for document in ids
            )
            searcher.tell(name, done, len(collection.queries))
        return system

    return System(name, spec or f"python:{getattr(function, '__name__', name)}", search, "light")


def _own_ids(corpus: Mapping[str, str]) -> dict[str, str]:
    """The collection's id by the app's own, as it is and as exports write it, where one chunk has it."""
    ids: dict[str, set[str]] = {}
    for document in corpus:
        encoded = document.partition("/")[2]
        ids.setdefault(encoded, set()).add(document)
        ids.setdefault(unquote(encoded), set()).add(document)
    return {own: documents.pop() for own, documents in ids.items() if own and len(documents) == 1}


def _id(hit: Any, name: str) -> str:
    if isinstance(hit, (list, tuple)) and hit:
        hit = hit[0]
    elif isinstance(hit, Mapping):
        hit = hit.get("id")
    elif not isinstance(hit, (str, int)):
        hit = getattr(hit, "id", None)
    if not isinstance(hit, (str, int)):
        raise ConfigurationError(
            f"{name} gave {hit!r} where the id of a document was expected: ids, (id, score), or objects with "
            f"an id."
        )
    return str(hit)
