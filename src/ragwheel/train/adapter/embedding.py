"""Where training gets its vectors: a model, an HTTP endpoint, LangChain embeddings, or a function.

Whatever has a name is embedded once: vectors are kept by model and text (see
:class:`ragwheel.evaluate.cache.VectorCache`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from ragwheel.endpoints import Connection, Endpoint, HttpReply, RequestFailed, Retrying, RetryPolicy, run_sync
from ragwheel.errors import ConfigurationError, EndpointError, ModelError
from ragwheel.evaluate.cache import VectorCache, cache_folder
from ragwheel.models.encoding import encode as encode_texts
from ragwheel.models.loading import Prompts, load_embedder, vectors_identity

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ragwheel.typing import Progress

    Floats = NDArray[np.float32]

__all__ = ["Embedding", "EmbeddingEndpoint", "Role", "embedding"]

Role = Literal["query", "document"]
_AT_ONCE = 64
_MAX_BYTES = 64_000_000


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
class EmbeddingEndpoint:
    """An HTTP endpoint that speaks OpenAI's ``POST …/embeddings``.

    Addresses, keys and retries follow the one policy of :mod:`ragwheel.endpoints`.

    Args:
        url: the address up to and without ``/embeddings``, such as ``https://api.openai.com/v1``.
        model: the model's name there.
        key_env: the environment variable that holds the key. By default it is ``RAGWHEEL_EMBED_KEY`` where
            that belongs to this host, and ``OPENAI_API_KEY`` for ``api.openai.com``.
        timeout_s: of one request of 64 texts.
        allow_private: permit an address in a private network; None: ``RAGWHEEL_EMBED_ALLOW_PRIVATE``.
        retries: after the first try, where another may succeed.

    Raises:
        ConfigurationError: a value cannot be used.
    """

    url: str
    model: str
    key_env: str | None = None
    timeout_s: float = 60.0
    allow_private: bool | None = None
    retries: int = 2

    def __post_init__(self) -> None:
        self._endpoint()

    def __call__(self, texts: list[str], role: Role) -> Any:
        """Return the vectors of the texts, in their order.

        Raises:
            ConfigurationError: the address is refused.
            EndpointError: the endpoint cannot be reached, refuses, or answers with something else.
        """
        endpoint = self._endpoint()
        try:
            return run_sync(lambda: self._vectors(endpoint, texts))
        except RequestFailed as error:
            raise EndpointError(
                f"{endpoint.base_url} {error}. Next: check --embed-url, the model's name ({self.model}) and "
                f"the key ({self.key_env or endpoint.variable('KEY')})."
            ) from None

    def _endpoint(self) -> Endpoint:
        return Endpoint.from_environment(
            "embed",
            base_url=self.url,
            model=self.model,
            key_env=self.key_env,
            allow_private=self.allow_private,
        )

    async def _vectors(self, endpoint: Endpoint, texts: list[str]) -> list[Any]:
        retrying = Retrying(RetryPolicy(timeout_s=self.timeout_s, retries=self.retries))
        vectors: list[Any] = []
        async with Connection(endpoint, timeout_s=self.timeout_s, max_bytes=_MAX_BYTES) as connection:

            async def send(batch: list[str]) -> HttpReply:
                body = {"model": self.model, "input": batch, "encoding_format": "float"}
                reply = await connection.post("embeddings", body)
                if reply.status != 200:
                    raise reply.failure()
                return reply

            for start in range(0, len(texts), _AT_ONCE):
                batch = texts[start : start + _AT_ONCE]
                vectors += _embeddings(await retrying.call(partial(send, batch)), len(batch))
        return vectors


def _embeddings(reply: HttpReply, count: int) -> list[Any]:
    try:
        rows = sorted(reply.json()["data"], key=lambda row: row["index"])
        vectors = [row["embedding"] for row in rows]
    except (KeyError, TypeError) as error:
        raise RequestFailed(f"did not answer as OpenAI's embeddings API does ({error!r})") from None
    if len(vectors) != count:
        raise RequestFailed(f"gave {len(vectors)} vectors for {count} texts")
    return vectors


def embedding(embed: Any, *, device: str | None = None, prompts: Prompts | None = None) -> Embedding:
    """What embeds, from whatever names it.

    Args:
        embed: ``minilm``, a folder or a hub id; an :class:`EmbeddingEndpoint`; an object with
            ``embed_query`` and ``embed_documents`` (LangChain's Embeddings); or a function
            ``(texts, role) -> vectors``.
        device: of a model with a name, as torch names it; None: the GPU if there is one.
        prompts: of a model with a name, by role, instead of its own.

    Raises:
        ModelError: there is no such model.
        ConfigurationError: it is none of these, or prompts are given for something else than a model's name.
    """
    if isinstance(embed, (str, Path)):
        return _model(str(embed), device, prompts)
    if prompts:
        raise ConfigurationError(
            f"prompts: allowed with a model's name or folder; got a {type(embed).__name__}, which puts its "
            "own before texts."
        )
    if isinstance(embed, EmbeddingEndpoint):
        return Embedding(f"{embed.url.rstrip('/')}#{embed.model}", embed)
    if hasattr(embed, "embed_query") and hasattr(embed, "embed_documents"):

        def encode(texts: list[str], role: Role) -> Any:
            return embed.embed_documents(texts) if role == "document" else [*map(embed.embed_query, texts)]

        return Embedding("", encode)
    if callable(embed):
        return Embedding("", embed)
    raise ConfigurationError(
        f"embed: got a {type(embed).__name__}, allowed: a model's name or folder, an EmbeddingEndpoint, "
        "LangChain Embeddings, or a function (texts, role) -> vectors"
    )


def _model(name: str, device: str | None, prompts: Prompts | None) -> Embedding:
    # read once; a wrong name is said before anything heavy is loaded
    identities = {role: vectors_identity(name, role, prompts) for role in get_args(Role)}
    loaded: list[Any] = []

    def encode(texts: list[str], role: Role) -> Any:
        if not loaded:
            loaded.append(load_embedder(name, device=device, prompts=prompts))
        return encode_texts(loaded[0], texts, role=role, bfloat16=None)

    return Embedding(name, encode, identities.__getitem__)


def _tell(progress: Progress | None, role: Role, done: int, total: int) -> None:
    if progress is not None:
        progress("embedding queries" if role == "query" else "embedding documents", done, total)
