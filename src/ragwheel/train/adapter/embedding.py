"""Where training gets its vectors: a model, an HTTP endpoint, LangChain embeddings, or a function.

Whatever has a name is embedded once: vectors are kept by model and text (see
:class:`ragwheel.evaluate.cache.VectorCache`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from ragwheel.errors import ConfigurationError, ModelError
from ragwheel.evaluate.cache import VectorCache, cache_folder
from ragwheel.models.encoding import encode as encode_texts
from ragwheel.models.loading import load_embedder, vectors_identity

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ragwheel.train.adapter.fit import Progress

    Floats = NDArray[np.float32]

__all__ = ["Embedding", "Endpoint", "Role", "embedding"]

Role = Literal["query", "document"]
_AT_ONCE = 64


@dataclass(frozen=True)
class Embedding:
    """Texts to vectors, by role.

    ``name`` is empty where vectors have none to be kept under; ``identity`` tells models of one name apart.
    """

    name: str
    encode: Callable[[list[str], Role], Any]
    identity: Callable[[Role], str] | None = None

    def __call__(
        self, texts: Sequence[str], role: Role, *, cache: bool = True, progress: Progress | None = None
    ) -> Floats:
        """Vectors (texts, dimension), as the model gives them.

        Raises:
            ModelError: it gave something else than one vector of numbers per text.
        """

        def compute(some: list[str]) -> Floats:
            return self._checked(some, role)

        distinct = list(dict.fromkeys(texts))
        place = {text: number for number, text in enumerate(distinct)}
        if cache and self.name:
            identity = self.name if self.identity is None else self.identity(role)
            kept = VectorCache(cache_folder(), f"{identity} {role}")
            found = kept.get(distinct, compute, lambda done, total: _tell(progress, role, done, total))
        else:
            parts = []
            for start in range(0, len(distinct), _AT_ONCE):
                parts.append(compute(distinct[start : start + _AT_ONCE]))
                _tell(progress, role, min(start + _AT_ONCE, len(distinct)), len(distinct))
            found = np.concatenate(parts)
        return found[[place[text] for text in texts]]

    def _checked(self, texts: list[str], role: Role) -> Floats:
        try:
            found = np.asarray(self.encode(texts, role), dtype=np.float32)
        except (TypeError, ValueError) as error:
            raise ModelError(f"the embedding function gave no vectors of numbers: {error}") from error
        if found.ndim != 2 or len(found) != len(texts):
            raise ModelError(
                f"the embedding function gave shape {found.shape} for {len(texts)} texts, "
                f"allowed: ({len(texts)}, dimension)"
            )
        return found


@dataclass(frozen=True)
class Endpoint:
    """An HTTP endpoint that speaks OpenAI's ``POST …/embeddings``.

    Attributes:
        url: up to and without ``/embeddings``, such as ``https://api.openai.com/v1``.
        model: its name there.
        key_env: environment variable that holds the key; unset: no key is sent.
        timeout_s: of one request of 64 texts.
    """

    url: str
    model: str
    key_env: str = "OPENAI_API_KEY"
    timeout_s: float = 60.0

    def __call__(self, texts: list[str], role: Role) -> Any:
        """Vectors of the texts, in their order.

        Raises:
            ModelError: the endpoint cannot be reached, refuses, or answers with something else.
        """
        import httpx

        key = os.environ.get(self.key_env)
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        place = f"{self.url.rstrip('/')}/embeddings"
        vectors: list[Any] = []
        for start in range(0, len(texts), _AT_ONCE):
            body = {"model": self.model, "input": texts[start : start + _AT_ONCE], "encoding_format": "float"}
            try:
                answer = httpx.post(place, json=body, headers=headers, timeout=self.timeout_s)
                answer.raise_for_status()
                rows = sorted(answer.json()["data"], key=lambda row: row["index"])
                vectors += [row["embedding"] for row in rows]
            except httpx.HTTPStatusError as error:
                said = " ".join(error.response.text.split())[:200]
                raise ModelError(
                    f"{place} answered {error.response.status_code}: {said}. Check the model's name "
                    f"({self.model}) and the key in {self.key_env}."
                ) from error
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                raise ModelError(f"{place} cannot be reached: {error}. Check --embed-url.") from error
            except (ValueError, KeyError, TypeError) as error:
                raise ModelError(f"{place} did not answer as OpenAI's endpoint does: {error!r}") from error
        return vectors


def embedding(embed: Any, *, device: str | None = None) -> Embedding:
    """What embeds, from whatever names it.

    Args:
        embed: ``minilm``, a folder or a hub id; an :class:`Endpoint`; an object with ``embed_query`` and
            ``embed_documents`` (LangChain's Embeddings); or a function ``(texts, role) -> vectors``.
        device: of a model with a name, as torch names it; None: the GPU if there is one.

    Raises:
        ModelError: there is no such model.
        ConfigurationError: it is none of these.
    """
    if isinstance(embed, (str, Path)):
        return _model(str(embed), device)
    if isinstance(embed, Endpoint):
        return Embedding(f"{embed.url.rstrip('/')}#{embed.model}", embed)
    if hasattr(embed, "embed_query") and hasattr(embed, "embed_documents"):

        def encode(texts: list[str], role: Role) -> Any:
            return embed.embed_documents(texts) if role == "document" else [*map(embed.embed_query, texts)]

        return Embedding("", encode)
    if callable(embed):
        return Embedding("", embed)
    raise ConfigurationError(
        f"embed: got a {type(embed).__name__}, allowed: a model's name or folder, an Endpoint, LangChain "
        "Embeddings, or a function (texts, role) -> vectors"
    )


def _model(name: str, device: str | None) -> Embedding:
    # read once; a wrong name is said before anything heavy is loaded
    identities = {role: vectors_identity(name, role) for role in get_args(Role)}
    loaded: list[Any] = []

    def encode(texts: list[str], role: Role) -> Any:
        if not loaded:
            loaded.append(load_embedder(name, device=device))
        return encode_texts(loaded[0], texts, role=role)

    return Embedding(name, encode, identities.__getitem__)


def _tell(progress: Progress | None, role: Role, done: int, total: int) -> None:
    if progress is not None:
        progress("embedding queries" if role == "query" else "embedding documents", done, total)
