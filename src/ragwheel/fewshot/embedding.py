"""Embedding of questions: by words, by a model, or by a function of the app."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ragwheel.errors import ConfigurationError, ModelError
from ragwheel.fewshot.examples import Library
from ragwheel.fewshot.lexical import Lexical, unit
from ragwheel.typing import Embed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

__all__ = ["checked", "encoder_of", "fitted", "model"]


def fitted(embed: str | Embed, questions: Sequence[str]) -> tuple[Embed, dict[str, Any]]:
    """Return the embedding function, and its description for the library.

    Args:
        embed: see :class:`~ragwheel.fewshot.options.FewshotOptions`.
        questions: questions of people, from which ``lexical`` learns word weights.

    Raises:
        ConfigurationError, ModelError: ``embed`` is none of these, or there is no such model.
    """
    if embed == "lexical":
        lexical = Lexical.fit(questions)
        return lexical, {"name": "lexical", "idf": [round(float(weight), 4) for weight in lexical.idf]}
    if isinstance(embed, str):
        return model(embed), {"name": embed}
    if callable(embed):
        return embed, {"name": "function"}
    raise ConfigurationError(
        f"embed: got a {type(embed).__name__}, allowed: 'lexical', a model's name or folder, or a function "
        "texts -> vectors"
    )


def encoder_of(library: Library) -> Embed:
    """Return the embedding function that a library's description names; by default the lexical one.

    Raises:
        ConfigurationError: the library was built with a function, which must be passed again.
    """
    name = library.encoder.get("name", "")
    if not name:
        return Lexical.fit([example.question for example in library.examples])
    if name == "lexical":
        return Lexical(library.encoder["idf"])
    if name == "function":
        raise ConfigurationError(
            "This library's vectors came from a function of yours: give it again as embed=..., or "
            "embed='lexical'."
        )
    return model(str(name))


def checked(embed: Embed, texts: Sequence[str]) -> Floats:
    """Return unit vectors of shape (texts, dimension).

    Raises:
        ModelError: ``embed`` did not return one vector of finite numbers per text.
    """
    if not texts:
        return np.zeros((0, 0), dtype=np.float32)
    try:
        vectors = np.asarray(embed(list(texts)), dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise ModelError(f"the embedding function gave no vectors of numbers: {error}") from error
    if vectors.ndim != 2 or len(vectors) != len(texts) or not np.isfinite(vectors).all():
        raise ModelError(
            f"the embedding function gave shape {vectors.shape} for {len(texts)} texts, "
            f"allowed: ({len(texts)}, dimension) of finite numbers"
        )
    return unit(vectors)


def model(name: str) -> Embed:
    """An embedding model; raises ModelError where there is none."""
    from ragwheel.models.encoding import encode
    from ragwheel.models.loading import load_embedder

    loaded = load_embedder(name)
    return lambda texts: encode(loaded, texts, role="query")
