"""Models with two encoders: one for queries, one for documents.

sentence-transformers saves such a model with its ``Router``: ``encode_query`` and ``encode_document`` take
the route of that name, plain ``encode`` that of documents.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sentence_transformers import SentenceTransformer

__all__ = ["has_towers", "join_towers", "query_tower"]

_QUERY, _DOCUMENT = "query", "document"


def has_towers(model: Any) -> bool:
    """Return whether a model has one route for queries and another for documents."""
    return {_QUERY, _DOCUMENT} <= set(getattr(next(iter(model.children()), None), "sub_modules", ()))


def query_tower(model: SentenceTransformer) -> SentenceTransformer:
    """Return the query encoder as a plain model with a copy of its weights; `model` is unchanged."""
    return _plain(model, copy.deepcopy(_modules(model, _QUERY)))


def join_towers(queries: SentenceTransformer, documents: SentenceTransformer) -> SentenceTransformer:
    """Return a model that encodes queries with the first model and documents with the second.

    Args:
        queries: a plain model, as :func:`query_tower` returns it.
        documents: any model; if it has routes, that for documents is used.
    """
    from sentence_transformers.sentence_transformer.modules import Router

    router = Router.for_query_document(
        query_modules=_modules(queries, _QUERY),
        document_modules=_modules(documents, _DOCUMENT),
        default_route=_DOCUMENT,
    )
    return _plain(documents, [router])


def _modules(model: Any, route: str) -> list[Any]:
    first, *rest = model.children()
    own: Iterable[Any] = first.sub_modules[route].children() if has_towers(model) else [first]
    return [*own, *rest]


def _plain(like: SentenceTransformer, modules: list[Any]) -> SentenceTransformer:
    """Return a model of these modules with the prompts, similarity and device of another model."""
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(
        modules=modules,
        device=str(like.device),
        prompts=dict(like.prompts),  # type: ignore[arg-type]
        default_prompt_name=like.default_prompt_name,
        similarity_fn_name=like.similarity_fn_name,
        truncate_dim=like.truncate_dim,
    )
