"""Trained adapters and query encoders in front of an app's embedding function, for frameworks' embedders."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ragwheel.deploy.adapter import Adapter
from ragwheel.deploy.embedding import adapted
from ragwheel.deploy.questions import QueryEncoder
from ragwheel.errors import ConfigurationError

__all__ = ["load_query_model", "query_embedder"]


def load_query_model(model: Adapter | QueryEncoder | str | Path) -> Adapter | QueryEncoder:
    """Return an adapter or a query encoder; a folder is loaded according to its files.

    Raises:
        ConfigurationError: `model` is something else.
        ModelError: the folder holds neither.
    """
    if isinstance(model, (str, Path)):
        is_embedder = (Path(model) / "modules.json").is_file()
        return QueryEncoder(model) if is_embedder else Adapter.load(model)
    if isinstance(model, (Adapter, QueryEncoder)):
        return model
    raise ConfigurationError(
        f"a model for questions: got a {type(model).__name__}, allowed: an Adapter, a QueryEncoder, or the "
        "folder that ragwheel train adapter or ragwheel train embedder wrote"
    )


def query_embedder(embed: Callable[..., Any], model: Adapter | QueryEncoder) -> Callable[..., Any]:
    """Return a function text -> vector, sync or async as ``embed`` is.

    An adapter changes the vectors of ``embed``; a query encoder replaces ``embed``. Inside a recorded
    retriever the model's version is added to the retrieval's.
    """
    if isinstance(model, Adapter):
        return adapted(embed, model)
    encoder = model
    if inspect.iscoroutinefunction(embed):

        @functools.wraps(embed)
        async def encode_async(text: str) -> Any:
            return await asyncio.to_thread(encoder, text)

        return encode_async

    @functools.wraps(embed)
    def encode(text: str) -> Any:
        return encoder(text)

    return encode
