"""A chat model behind an OpenAI-compatible endpoint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from ragwheel.errors import EndpointError

if TYPE_CHECKING:
    from ragwheel.endpoints import ChatFields, Endpoint, HttpReply

__all__ = ["ChatEndpoint"]

_MAX_BYTES: Final = 4_000_000


@dataclass(frozen=True)
class ChatEndpoint:
    """An endpoint that answers chat messages.

    Addresses, keys and retries follow the one policy of :mod:`ragwheel.endpoints`.

    Args:
        url: the address up to and without ``/chat/completions``, such as ``https://api.openai.com/v1``.
        model: the model's name there.
        key_env: the environment variable that holds the key. By default it is ``RAGWHEEL_LLM_KEY`` where
            that belongs to this host, and ``OPENAI_API_KEY`` for ``api.openai.com``.
        timeout_s: of one answer, from asking to its last byte.
        max_tokens: of one answer; None sends no limit.
        temperature: None sends none.
        allow_private: permit an address in a private network; None: ``RAGWHEEL_LLM_ALLOW_PRIVATE``.
        retries: after the first try, where another may succeed.

    Raises:
        ConfigurationError: a value cannot be used.
    """

    url: str
    model: str
    key_env: str | None = None
    timeout_s: float = 60.0
    max_tokens: int | None = 1_000
    temperature: float | None = 0.0
    allow_private: bool | None = None
    retries: int = 2
    _accepted: list[ChatFields] = field(init=False, repr=False, compare=False, default_factory=list)

    def __post_init__(self) -> None:
        from ragwheel.endpoints import ChatFields  # loads httpx, which the selector of examples does without

        self._endpoint()
        self._accepted.append(ChatFields(self.max_tokens, self.temperature))

    def __call__(self, messages: Sequence[dict[str, str]]) -> str:
        """Return the answer's text, without the model's thoughts.

        Raises:
            ConfigurationError: the address is refused.
            EndpointError: the endpoint is down, slow, redirects, refuses, or answers with something else.
        """
        from ragwheel.endpoints import RequestFailed, run_sync

        endpoint = self._endpoint()
        try:
            reply = run_sync(lambda: self._asked(endpoint, list(messages)))
            return _text(reply)
        except RequestFailed as exc:
            raise EndpointError(
                f"{endpoint.base_url} {exc}. Next: check the address, the model's name ({self.model}) and "
                f"the key ({self.key_env or endpoint.variable('KEY')}), or allow more time (timeout_s, "
                "--llm-timeout)."
            ) from None

    def _endpoint(self) -> Endpoint:
        from ragwheel.endpoints import Endpoint

        return Endpoint.from_environment(
            "llm",
            base_url=self.url,
            model=self.model,
            key_env=self.key_env,
            allow_private=self.allow_private,
        )

    async def _asked(self, endpoint: Endpoint, messages: list[dict[str, str]]) -> HttpReply:
        from ragwheel.endpoints import ChatClient, Connection, Retrying, RetryPolicy

        policy = RetryPolicy(timeout_s=self.timeout_s, retries=self.retries)
        async with Connection(endpoint, timeout_s=self.timeout_s, max_bytes=_MAX_BYTES) as connection:
            chat = ChatClient(connection, self._accepted[0])
            reply = await Retrying(policy).call(lambda: chat.complete(messages))
            self._accepted[0] = chat.fields
            return reply


def _text(reply: HttpReply) -> str:
    from ragwheel.endpoints import RequestFailed, read_completion

    completion = read_completion(reply.json())
    if completion is None:
        raise RequestFailed("did not answer as OpenAI's chat API does")
    if completion.refused:
        raise RequestFailed("declined to answer")
    if not completion.text:
        why = "its tokens were used up before" if completion.truncated else "try another model"
        raise RequestFailed(f"gave an empty answer ({why})")
    return completion.text
