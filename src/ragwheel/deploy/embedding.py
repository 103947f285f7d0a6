"""An embedding function whose query vectors are adapted, for code without a framework."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

from ragwheel.capture.context import running
from ragwheel.errors import ConfigurationError

if TYPE_CHECKING:
    from ragwheel.capture.recorder import Retrieval
    from ragwheel.deploy.adapter import Adapter

__all__ = ["adapted", "adapted_like", "stamp"]

F = TypeVar("F", bound=Callable[..., Any])


def adapted(embed: F, adapter: Adapter) -> F:
    """Return `embed` with adapted vectors, for queries; keep using `embed` itself for documents.

    Args:
        embed: text -> vector or texts -> vectors (lists of floats or arrays), sync or async.
        adapter: an adapter that was trained for the model of `embed`.

    Inside a recorded retriever the adapter's id is added to the retrieval's version, so that clicks before
    and after the change can be told apart. Raises :class:`~ragwheel.errors.ModelError` when called with a
    model of another dimension, and :class:`~ragwheel.errors.ConfigurationError` at once for an `embed` that
    is no function.
    """
    if not callable(embed):
        raise ConfigurationError(f"adapted: got a {type(embed).__name__}, allowed: a function that embeds")

    def finish(vectors: Any) -> Any:
        stamp(running.get(), adapter.version)
        return adapted_like(vectors, adapter)

    if inspect.iscoroutinefunction(embed):
        call: Callable[..., Awaitable[Any]] = embed

        @functools.wraps(embed)
        async def embed_async(*args: Any, **kwargs: Any) -> Any:
            return finish(await call(*args, **kwargs))

        return embed_async  # type: ignore[return-value]  # the same signature, by functools.wraps

    @functools.wraps(embed)
    def embed_sync(*args: Any, **kwargs: Any) -> Any:
        return finish(embed(*args, **kwargs))

    return embed_sync  # type: ignore[return-value]  # the same signature, by functools.wraps


def adapted_like(vectors: Any, adapter: Adapter) -> Any:
    """Return adapted vectors as a list if `vectors` are one, else as an array."""
    if isinstance(vectors, list) and not len(vectors):
        return vectors
    adapted_vectors = adapter.query(vectors)
    return adapted_vectors.tolist() if isinstance(vectors, list) else adapted_vectors


def stamp(retrieval: Retrieval | None, version: str) -> None:
    """Add `version` once to the version of a running retrieval."""
    if retrieval is not None and not retrieval.done and version not in retrieval.version:
        retrieval.version = f"{retrieval.version}+{version}" if retrieval.version else version
