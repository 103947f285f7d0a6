"""Systems with a model in them: embedders, adapters on their queries, re-rankers over any of these."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import numpy.typing as npt

from ragwheel.deploy.features import CandidateChunk, FeatureReranker, is_feature_reranker
from ragwheel.errors import DatasetError, ModelError
from ragwheel.evaluate.cache import VectorCache
from ragwheel.evaluate.collection import Collection
from ragwheel.evaluate.runs import ranked, scores_of
from ragwheel.evaluate.systems import COSTS, Cost, Searcher, System
from ragwheel.models.card import MANIFEST, ModelFacts, read_model_card
from ragwheel.models.encoding import encode as encode_texts
from ragwheel.models.loading import Prompts, load_embedder, load_reranker, model_identity, vectors_identity

if TYPE_CHECKING:
    from ragwheel.deploy import Adapter

__all__ = ["Encoder", "adapter", "embedder", "nearest", "reranked"]

Vectors = npt.NDArray[np.float32]
Role = Literal["query", "document"]
#: Texts and what they are to vectors of shape (texts, dimension).
Encoder = Callable[[list[str], Role], Vectors]
#: What tells the vectors of a role from those of other models.
Identity = Callable[[Role], str]
#: A query and texts to as many scores, higher for better ones.
Scorer = Callable[[str, list[str]], Sequence[float]]

_DEPTH: Final = 40
_AT_ONCE: Final = 256


def embedder(
    model: str | Path | Encoder, name: str, *, cache_id: str | None = None, prompts: Prompts | None = None
) -> System:
    """Dense retrieval: documents by the model's own similarity to the query, cosine or dot product.

    Args:
        model: ``minilm``, a folder, a hub id, or a function from texts and their role to vectors.
        name: in tables.
        cache_id: identifies the vectors of a function; None: they are not kept.
        prompts: what is put before texts, by role, instead of the model's own.
    """
    spec = f"embedder:{model}" if isinstance(model, (str, Path)) else f"python:{name}"

    def search(collection: Collection, searcher: Searcher) -> Mapping[str, tuple[str, ...]]:
        encode, identity = _encoder(model, cache_id, prompts)
        queries, documents = _both(collection, searcher, encode, identity)
        return nearest(collection, queries, documents, searcher.depth)

    card = _card(model)
    cost: Cost = "light" if card is not None and card.documents else "re-index"
    return System(name, spec, search, cost, _dataset_id(model))


def adapter(
    folder: str | Path | Adapter,
    name: str,
    base: str | Path | Encoder | None = None,
    *,
    prompts: Prompts | None = None,
) -> System:
    """An adapter on the query vectors of its base model; documents keep their vectors.

    Args:
        folder: what ``ragwheel train adapter`` wrote, or the adapter itself.
        name: in tables.
        base: the embedder that it adapts; None: the one that it was trained for.
        prompts: what is put before texts, by role, instead of the base's own; None: as it was trained.
    """
    spec = f"adapter:{folder}" if isinstance(folder, (str, Path)) else f"python:{name}"

    def search(collection: Collection, searcher: Searcher) -> Mapping[str, tuple[str, ...]]:
        from ragwheel.deploy import Adapter

        loaded = Adapter.load(folder) if isinstance(folder, (str, Path)) else folder
        model = base if base is not None else loaded.base
        if not model:
            raise ModelError(
                f"{name} does not say which model its vectors come from. Name it: --base embedder:MODEL, or "
                f"adapter(..., base=...)."
            )
        encode, identity = _encoder(model, None, _prompts_of(folder) if prompts is None else prompts)
        queries, documents = _both(collection, searcher, encode, identity)
        return nearest(collection, loaded.query(queries), documents, searcher.depth)

    return System(name, spec, search, "light", _dataset_id(folder))


def reranked(model: str | Path | Scorer, over: System, name: str, *, depth: int = _DEPTH) -> System:
    """A re-ranker over the first documents of another system; what stands below them stays there.

    Args:
        model: a folder, a hub id, or a function from a query and texts to scores.
        over: what it re-ranks.
        name: in tables.
        depth: how many it re-ranks: 40, as captured, by default.
    """
    if isinstance(model, (str, Path)) and is_feature_reranker(model):
        return reranked_by_features(model, over, name, depth=depth)
    spec = f"reranker:{model} over {over.spec}" if isinstance(model, (str, Path)) else f"python:{name}"

    def search(collection: Collection, searcher: Searcher) -> Mapping[str, tuple[str, ...]]:
        below = over.search(collection, searcher)
        score = _scorer(model, searcher)
        system: dict[str, tuple[str, ...]] = {}
        for done, (query, ranking) in enumerate(below.items(), 1):
            first = [document for document in ranking[:depth] if document in collection.corpus]
            texts = [collection.corpus[document] for document in first]
            scores = (
                list(score(collection.queries[query], texts)) if query in collection.queries and texts else []
            )
            if len(scores) == len(first):
                best = ranked(
                    [(document, float(s)) for document, s in zip(first, scores)], f"{name}, query {query}"
                )
                system[query] = best + tuple(document for document in ranking if document not in set(first))
            elif query in collection.queries:
                raise ModelError(
                    f"{name} gave {len(scores)} scores for {len(first)} texts; expected one each."
                )
            searcher.tell(name, done, len(below))
        return system

    return System(name, spec, search, "model per query", _dataset_id(model))


def reranked_by_features(model: str | Path, over: System, name: str, *, depth: int = _DEPTH) -> System:
    """A re-ranker on features over the first documents of another system; as :func:`reranked` otherwise.

    Args:
        model: a folder that ``ragwheel train reranker --kind features`` wrote.
        over: what it re-ranks; its scores are features, too.
        name: in tables.
        depth: how many it re-ranks.
    """

    def search(collection: Collection, searcher: Searcher) -> Mapping[str, tuple[str, ...]]:
        below = over.search(collection, searcher)
        reranker = FeatureReranker.load(model)
        similarities = _similarities(reranker.encoder, collection, searcher)
        system: dict[str, tuple[str, ...]] = {}
        for done, (query, ranking) in enumerate(below.items(), 1):
            first = [document for document in ranking[:depth] if document in collection.corpus]
            if query in collection.queries:
                candidates = _candidates(collection, first, scores_of(ranking), similarities(query, first))
                scores = reranker.score_candidates(collection.queries[query], candidates)
                best = [first[row] for row in np.argsort(-np.array(scores), kind="stable")]
                system[query] = (*best, *(document for document in ranking if document not in set(first)))
            searcher.tell(name, done, len(below))
        return system

    cost: Cost = over.cost if COSTS.index(over.cost) > COSTS.index("light") else "light"
    return System(name, f"reranker:{model} over {over.spec}", search, cost, _dataset_id(model))


def _candidates(
    collection: Collection,
    documents: Sequence[str],
    scores: Mapping[str, float],
    similarities: Sequence[float],
) -> list[CandidateChunk]:
    known: Sequence[float | None] = similarities or [None] * len(documents)
    candidates = []
    for document, similarity in zip(documents, known):
        source, chunk_id, metadata = collection.chunks.get(document, ("", document, {}))
        candidates.append(
            CandidateChunk(
                collection.corpus[document], chunk_id, source, scores.get(document), similarity, metadata
            )
        )
    return candidates


def _similarities(
    encoder: str, collection: Collection, searcher: Searcher
) -> Callable[[str, Sequence[str]], Sequence[float]]:
    """What gives the cosines of a query and documents; nothing where the model has no encoder."""
    if not encoder:
        return lambda _query, _documents: ()
    encode, identity = _encoder(encoder, None)
    queries, documents = _both(collection, searcher, encode, identity)
    row_of = {query: row for row, query in enumerate(collection.queries)}
    place_of = {document: index for index, document in enumerate(collection.corpus)}

    def similarities(query: str, some: Sequence[str]) -> Sequence[float]:
        rows = documents[[place_of[document] for document in some]]
        return [float(value) for value in rows @ queries[row_of[query]]]

    return similarities


def nearest(
    collection: Collection, queries: Vectors, documents: Vectors, depth: int
) -> dict[str, tuple[str, ...]]:
    """For each query the documents with the highest inner product.

    Args:
        collection: whose queries and corpus the rows are, in their order.
        queries: (queries, dimension).
        documents: (documents, dimension).
        depth: how many.

    Raises:
        DatasetError: a vector is not finite.
    """
    ids = np.array(list(collection.corpus), dtype=object)
    for what, vectors in (("queries", queries), ("documents", documents)):
        broken = int((~np.isfinite(vectors).all(axis=1)).sum())
        if broken:
            raise DatasetError(
                f"{broken} of {len(vectors)} vectors of {what} are not finite, so they have no place in a "
                f"ranking. Is the model damaged? Train it again."
            )
    depth = min(depth, len(ids))
    rankings: dict[str, tuple[str, ...]] = {}
    names = list(collection.queries)
    for start in range(0, len(names), _AT_ONCE):
        scores = queries[start : start + _AT_ONCE] @ documents.T
        places = np.argpartition(-scores, depth - 1, axis=1)[:, :depth]
        for row, query in enumerate(names[start : start + _AT_ONCE]):
            hits = [(str(ids[index]), float(scores[row, index])) for index in places[row]]
            rankings[query] = ranked(hits, f"query {query}")
    return rankings


def _both(
    collection: Collection, searcher: Searcher, encode: Encoder, identity: Identity | None
) -> tuple[Vectors, Vectors]:
    """Vectors of the queries and of the corpus, from the cache where they are there."""

    def vectors(texts: Sequence[str], role: Role) -> Vectors:
        def compute(some: list[str]) -> Vectors:
            return np.asarray(encode(some, role), dtype=np.float32)

        if searcher.cache is None or identity is None:
            return compute(list(texts))
        cache = VectorCache(searcher.cache, f"{identity(role)} {role}")
        return cache.get(texts, compute, lambda done, total: searcher.tell(f"encode {role}s", done, total))

    documents = vectors(list(collection.corpus.values()), "document")
    return vectors(list(collection.queries.values()), "query"), documents


def _encoder(
    model: str | Path | Encoder, cache_id: str | None, prompts: Prompts | None = None
) -> tuple[Encoder, Identity | None]:
    """What encodes, loaded when it is first needed, and what identifies it."""
    if not isinstance(model, (str, Path)):
        return model, None if cache_id is None else lambda _role: cache_id
    loaded: list[Any] = []

    def encode(texts: list[str], role: Role) -> Vectors:
        if not loaded:
            loaded.append(load_embedder(model, prompts=prompts))
        vectors: Vectors = encode_texts(loaded[0], texts, role=role, bfloat16=None)
        return vectors

    model_identity(model)  # a wrong name is said before anything heavy is loaded
    return encode, lambda role: vectors_identity(model, role, prompts)


def _scorer(model: str | Path | Scorer, searcher: Searcher) -> Scorer:
    if not isinstance(model, (str, Path)):
        return model
    loaded: list[Any] = []
    cache = None if searcher.cache is None else VectorCache(searcher.cache, f"{model_identity(model)} scores")

    def score(query: str, texts: list[str]) -> Sequence[float]:
        def compute(some: list[str]) -> Vectors:
            if not loaded:
                loaded.append(load_reranker(model))
            pairs = [(query, pair.removeprefix(f"{query}\x1f")) for pair in some]
            scores: Vectors = loaded[0].predict(pairs, show_progress_bar=False, convert_to_numpy=True)
            return scores.reshape(-1, 1)

        pairs = [f"{query}\x1f{text}" for text in texts]
        found = compute(pairs) if cache is None else cache.get(pairs, compute)
        return [float(score) for score in found[:, 0]]

    return score


def _dataset_id(model: Any) -> str | None:
    """The dataset that a folder of ours was trained on, if its card says so."""
    card = _card(model)
    return None if card is None else card.dataset_id or None


def _prompts_of(folder: Any) -> Prompts | None:
    """The prompts that an adapter of ours was trained with, if its card names any."""
    card = _card(folder)
    configuration = {} if card is None else card.configuration
    roles: tuple[Role, ...] = ("query", "document")
    prompts = {role: configuration[f"{role}_prompt"] for role in roles if configuration.get(f"{role}_prompt")}
    return prompts or None


def _card(model: Any) -> ModelFacts | None:
    """What a folder of ours says about itself."""
    if not isinstance(model, (str, Path)) or not (Path(model) / MANIFEST).is_file():
        return None
    return read_model_card(model)
