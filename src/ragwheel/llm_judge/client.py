"""Asking an endpoint many questions, with concurrency, retries, an exact budget, and resumption.

Workers take questions from a shared iterator, so no more are read than can be sent. A reply is written to
:class:`~ragwheel.llm_judge.replies.Replies` before the caller gets it. Requests, retries and waits are those
of :mod:`ragwheel.endpoints`. If the endpoint stops answering, the run ends.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final

from ragwheel.endpoints import (
    ChatClient,
    ChatFields,
    Connection,
    Endpoint,
    RequestFailed,
    Retrying,
    RetryPolicy,
    read_completion,
)
from ragwheel.errors import ConfigurationError, EndpointError, JudgeError
from ragwheel.llm_judge.budget import Budget, estimate_tokens
from ragwheel.llm_judge.prompts import Ask, Reply, messages, read_reply, response_format
from ragwheel.llm_judge.replies import Replies

__all__ = ["JudgeClient", "Limits", "estimate"]

_MAX_FAILED: Final = 5  # consecutive questions without a reply that end the run
_UNLIMITED_OUTPUT: Final = 2_000  # tokens reserved for a reply of unlimited length
_NO_COMPLETION: Final = (
    "answered HTTP 200 and no chat completion; RAGWHEEL_JUDGE_URL is what stands before /chat/completions"
)
_KEPT: Final = "Every reply that came is kept; the same command goes on from here."


@dataclass(frozen=True)
class Limits(RetryPolicy):
    """The limits of requests to an endpoint: a :class:`~ragwheel.endpoints.RetryPolicy` and these fields.

    Args:
        concurrency: the number of requests in flight.
        max_output_tokens: the limit for a reply: an answer needs about ten tokens, a reasoning model
            thousands. None sends no limit.
        temperature: the sampling temperature; None sends none.

    Raises:
        ConfigurationError: a value cannot be used.
    """

    concurrency: int = 8
    max_output_tokens: int | None = 64
    temperature: float | None = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.concurrency <= 256:
            raise ConfigurationError(f"concurrency is {self.concurrency}; allowed: 1 to 256.")
        self.fields  # noqa: B018 (checks them)

    @property
    def fields(self) -> ChatFields:
        """The optional fields of a request."""
        return ChatFields(self.max_output_tokens, self.temperature)


@dataclass
class JudgeClient:
    """A run of questions against one endpoint.

    After the run, ``counts`` has: sent (requests), cached, retried, unreachable (questions without a reply),
    over budget, usage doubted (replies whose own token counts are impossible).

    Args:
        endpoint: the endpoint to ask.
        replies: the replies on disk.
        budget: the budget of the run.
        limits: the limits of requests.
        retry_failed: ask again questions that an earlier reply did not answer. By default such replies are
            final.
        counts: see above.
    """

    endpoint: Endpoint
    replies: Replies
    budget: Budget = field(default_factory=Budget)
    limits: Limits = field(default_factory=Limits)
    retry_failed: bool = False
    counts: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._failed = 0
        self._stopped: JudgeError | None = None
        self._is_cancelled = False

    async def run(self, asks: Iterable[Ask], on_reply: Callable[[Ask, Reply], None]) -> None:
        """Ask all questions within the budget; call ``on_reply`` with each reply after it was stored.

        Raises:
            JudgeError: the endpoint cannot be used, or stopped answering.
            ConfigurationError: the address of the endpoint is refused.
        """
        try:
            connection = Connection(
                self.endpoint, concurrency=self.limits.concurrency, timeout_s=self.limits.timeout_s
            )
        except EndpointError as exc:
            raise JudgeError(f"{exc} {_KEPT}") from None
        async with connection:
            self._chat = ChatClient(connection, self.limits.fields, self.counts)
            self._retrying = Retrying(self.limits, self.counts)
            waiting = iter(asks)
            workers = [
                asyncio.create_task(self._work(waiting, on_reply)) for _ in range(self.limits.concurrency)
            ]
            try:
                await asyncio.gather(*workers)
            finally:
                for worker in workers:
                    worker.cancel()
                await asyncio.gather(*workers, return_exceptions=True)
        if self._stopped is not None:
            raise self._stopped

    def stop(self) -> None:
        """Ask no further questions; replies to requests in flight are still accepted."""
        self._is_cancelled = True

    async def _work(self, waiting: Iterator[Ask], on_reply: Callable[[Ask, Reply], None]) -> None:
        for ask in waiting:
            if self._stopped is not None or self._is_cancelled:
                return
            key = ask.key(self.endpoint.model)
            reply = self.replies.get(key)
            if reply is not None and not (self.retry_failed and reply.answer is None):
                self.counts["cached"] += 1
                on_reply(ask, reply)
                await asyncio.sleep(0)
                continue
            try:
                reply = await self._retrying.call(lambda ask=ask, key=key: self._paid_reply(ask, key))  # type: ignore[misc]
            except RequestFailed as exc:
                self._fail(exc)
                continue
            if reply is None:
                self.counts["over budget"] += 1
                continue
            on_reply(ask, reply)

    async def _paid_reply(self, ask: Ask, key: bytes) -> Reply | None:
        """Ask a question and store the reply; None if the budget does not allow it."""
        if self._stopped is not None:
            raise RequestFailed("the run was stopped")
        prompt = messages(ask, self.replies.mark(key))
        reserved = reservation(prompt, self.limits)
        if not await self.budget.reserve(*reserved):
            return None
        used = reserved
        try:
            response = await self._chat.complete(
                prompt, response_format=response_format(ask.mode), idempotency_key=key.hex()
            )
            body = response.json()
            reply = read_reply(ask.mode, body)
            if reply is None:
                raise RequestFailed(_NO_COMPLETION, may_cost=True)
            used = self._used(body, prompt)
            reply = replace(reply, tokens_in=used[0], tokens_out=used[1])
            self.replies.put(key, reply)
            self._failed = 0
            return reply
        except RequestFailed as exc:
            used = reserved if exc.may_cost else (0, 0)
            raise
        finally:
            await self.budget.settle(reserved, used)

    def _fail(self, exc: RequestFailed) -> None:
        if self._stopped is not None:
            return
        self.counts["unreachable"] += 1
        self._failed += 1
        if exc.fatal:
            self._stopped = JudgeError(f"The judge at {self.endpoint.host} {exc}. {_KEPT}")
        elif self._failed >= _MAX_FAILED:
            self._stopped = JudgeError(
                f"The judge at {self.endpoint.host} stopped answering: {_MAX_FAILED} questions in a row "
                f"failed; the last time it {exc}. {_KEPT}"
            )

    def _used(self, body: Any, prompt: list[dict[str, str]]) -> tuple[int, int]:
        """Return the tokens of input and output by the endpoint's count, at least the possible minimum."""
        usage = body.get("usage") if isinstance(body, dict) else None
        completion = read_completion(body)
        text = completion.content if completion is not None else ""
        least = sum(len(message["content"]) for message in prompt) // 12, -(-len(text) // 12)
        guess = (
            sum(estimate_tokens(message["content"]) for message in prompt),
            estimate_tokens(text) if text else 0,
        )
        used = []
        for name, floor, plausible in zip(("prompt_tokens", "completion_tokens"), least, guess):
            count = usage.get(name) if isinstance(usage, dict) else None
            is_plausible = isinstance(count, int) and not isinstance(count, bool) and floor <= count < 10**9
            self.counts["usage doubted"] += not is_plausible
            used.append(count if isinstance(count, int) and is_plausible else plausible)
        return used[0], used[1]


def reservation(prompt: list[dict[str, str]], limits: Limits) -> tuple[int, int]:
    """Return the tokens of input and output to reserve for a request."""
    tokens_in = sum(estimate_tokens(message["content"]) for message in prompt)
    return tokens_in, limits.max_output_tokens or _UNLIMITED_OUTPUT


def estimate(
    asks: Iterable[Ask], replies: Replies, model: str, limits: Limits, *, retry_failed: bool = False
) -> tuple[int, int, int, int]:
    """Return the numbers of requests to send, of stored replies, and of tokens at most; nothing is sent."""
    to_send = cached = tokens_in = tokens_out = 0
    for ask in asks:
        key = ask.key(model)
        reply = replies.get(key)
        if reply is not None and not (retry_failed and reply.answer is None):
            cached += 1
            continue
        most = reservation(messages(ask, replies.mark(key)), limits)
        to_send, tokens_in, tokens_out = to_send + 1, tokens_in + most[0], tokens_out + most[1]
    return to_send, cached, tokens_in, tokens_out
