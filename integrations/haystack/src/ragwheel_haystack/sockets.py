"""What a component does, told from its input and output sockets as Haystack's traces list them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

__all__ = ["RECORDS_ITSELF", "documents_in", "role", "text_of"]

RECORDS_ITSELF: Final = frozenset({"RecordedComponent", "RagwheelRanker"})
"""Types of components that make records of their own."""
_QUERIES: Final = frozenset({"query", "query_embedding", "query_sparse_embedding", "queries"})


def role(tags: Mapping[str, Any]) -> str:
    """Return ``retriever``, ``ranker``, ``embedder``, or ``other`` for a component's tags.

    A retriever makes documents of a query. A ranker makes documents of documents and a query, a ``top_k``, or
    several lists (joiners). A text embedder makes a vector of a text.
    """
    if tags.get("haystack.component.type") in RECORDS_ITSELF:
        return "other"
    inputs = _types(tags.get("haystack.component.input_spec"))
    outputs = _types(tags.get("haystack.component.output_spec"))
    if "embedding" in outputs and "text" in inputs:
        return "embedder"
    if "Document" not in outputs.get("documents", ""):
        return "other"
    takes_documents = any("Document" in kind and "DocumentStore" not in kind for kind in inputs.values())
    if not takes_documents:
        return "retriever" if _QUERIES & inputs.keys() else "other"
    is_joiner = "Variadic" in inputs.get("documents", "") or "Joiner" in str(
        tags.get("haystack.component.type")
    )
    return "ranker" if is_joiner or {"query", "top_k"} & inputs.keys() else "other"


def documents_in(values: Mapping[str, Any]) -> list[Any] | None:
    """Return the list of documents among a component's inputs."""
    for value in values.values():
        if isinstance(value, list) and value and type(value[0]).__name__ == "Document":
            return value
    return None


def text_of(reply: object) -> str | None:
    """Return the text of a reply: a string, a ``ChatMessage`` or a ``GeneratedAnswer``."""
    if isinstance(reply, str):
        return reply
    for name in ("data", "text"):
        text = getattr(reply, name, None)
        if isinstance(text, str):
            return text
    return None


def _types(spec: object) -> dict[str, str]:
    if not isinstance(spec, Mapping):
        return {}
    return {str(name): str(socket.get("type", "")) for name, socket in spec.items()}
