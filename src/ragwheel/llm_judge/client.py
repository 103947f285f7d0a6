"""Asking an endpoint many questions: concurrency with back-pressure, retries, an exact budget, resume.

Workers take questions from one iterator, so that no more is read than can be sent. A reply is written to
:class:`~ragwheel.llm_judge.replies.Replies` before the caller sees it. Requests, retries and waits
are those of :mod:`ragwheel.endpoints`. An endpoint that stops answering ends the run.
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

_MAX_FAILED: Final = 5  # questions in a row that got no reply
_UNLIMITED_OUTPUT: Final = 2_000  # tokens set aside for a reply whose length is not limited
_NO_COMPLETION: Final = (
    "answered HTTP 200 and no chat completion; RAGWHEEL_JUDGE_URL is what stands before /chat/completions"
)
_KEPT: Final = "Every reply that came is kept; the same command goes on from here."


@dataclass(frozen=True)
class Limits(RetryPolicy):
    """How an endpoint is treated: as a :class:`~ragwheel.endpoints.RetryPolicy`, and what else bounds a run.

    Args:
        concurrency: requests in flight.
        max_output_tokens: of one reply; an answer needs about ten, a model that thinks first needs
            thousands. None sends no limit.
        temperature: None sends none.

    Raises:
        ConfigurationError: a value that cannot be used.
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
    """One run against one endpoint.

    ``counts`` has, when the run is over: sent (requests), cached, retried, unreachable (questions without a
    reply), over budget, usage doubted (replies whose own count of tokens cannot be true).

    Args:
        endpoint: where the questions go.
        replies: what is kept on disk.
        budget: what the run may cost.
        limits: how the endpoint is treated.
        retry_failed: ask again what an earlier reply did not answer; by default such a reply is final.
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
        """Answer every question that the budget allows; ``on_reply`` gets each reply after it was kept.

        Raises:
            JudgeError: the endpoint cannot be used, or stopped answering.
            ConfigurationError: its address is refused.
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
        """Ask no further question; replies under way are still taken."""
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
        """Ask once and keep the reply; None when the budget does not allow it."""
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
        """Tokens in and out as the endpoint counts them, but never less than there must have been."""
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
    """Tokens in and out that are set aside for a request."""
    tokens_in = sum(estimate_tokens(message["content"]) for message in prompt)
    return tokens_in, limits.max_output_tokens or _UNLIMITED_OUTPUT


def estimate(
    asks: Iterable[Ask], replies: Replies, model: str, limits: Limits, *, retry_failed: bool = False
) -> tuple[int, int, int, int]:
    """Requests to send, replies there already, and tokens in and out at most; nothing is sent."""
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
