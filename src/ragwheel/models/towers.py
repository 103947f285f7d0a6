"""Two encoders in one model: questions by the one, documents by the other.

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
    """Whether it has a route for queries and another for documents."""
    return {_QUERY, _DOCUMENT} <= set(getattr(next(iter(model.children()), None), "sub_modules", ()))


def query_tower(model: SentenceTransformer) -> SentenceTransformer:
    """What embeds queries, as a plain model with weights of its own; `model` stays as it is."""
    return _plain(model, copy.deepcopy(_modules(model, _QUERY)))


def join_towers(queries: SentenceTransformer, documents: SentenceTransformer) -> SentenceTransformer:
    """One model whose queries go through the first and whose documents go through the second.

    Args:
        queries: a plain model, as :func:`query_tower` gives it.
        documents: any; of one with routes, that of its documents.
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
    """A model of these modules that is used as another one is: prompts, similarity, device."""
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(
        modules=modules,
        device=str(like.device),
        prompts=dict(like.prompts),  # type: ignore[arg-type]
        default_prompt_name=like.default_prompt_name,
        similarity_fn_name=like.similarity_fn_name,
        truncate_dim=like.truncate_dim,
    )
