"""Asking an endpoint many questions: concurrency with back-pressure, retries, an exact budget, resume.

Workers take questions from one iterator, so that no more is read than can be sent. A reply is written to
:class:`~ragwheel.judge.replies.Replies` before anyone sees it. 429 and 5xx are asked again after a wait that
doubles, with full jitter (Brooker, Exponential backoff and jitter, AWS Architecture Blog, 2015), or as long
as ``Retry-After`` says; a 429 makes all workers wait. An endpoint that stops answering ends the run.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final

import httpx

from ragwheel.errors import ConfigurationError, JudgeError
from ragwheel.judge.budget import Budget, estimate_tokens
from ragwheel.judge.endpoint import Endpoint
from ragwheel.judge.prompts import Ask, Reply, messages, read_reply, response_format
from ragwheel.judge.replies import Replies
from ragwheel.judge.sending import Response, Sender, TooLong

__all__ = ["Engine", "Limits", "estimate"]

_FATAL: Final = {
    401: "does not accept the key",
    403: "does not accept the key",
    404: "has no such address or model",
}
_AGAIN: Final = frozenset((408, 409, 425, 429, 500, 502, 503, 504, 529))
_NO_SCHEMA: Final = frozenset((400, 422))
_MAX_FAILED: Final = 5  # questions in a row that got no reply
_NO_COMPLETION: Final = (
    "HTTP 200 and no chat completion; RAGWHEEL_JUDGE_URL is what stands before /chat/completions"
)
_KEPT: Final = "Every reply that came is kept; the same command goes on from here."


@dataclass(frozen=True)
class Limits:
    """How an endpoint is treated.

    Args:
        concurrency: requests in flight.
        timeout_s: of one request, from connecting to the last byte.
        retries: after the first try.
        first_wait_s: before the first retry at most; doubles.
        max_wait_s: what a wait or a ``Retry-After`` never exceeds; a longer one ends the run.
        max_output_tokens: of one answer; an answer needs about ten.

    Raises:
        ConfigurationError: a value that cannot be used.
    """

    concurrency: int = 8
    timeout_s: float = 60.0
    retries: int = 4
    first_wait_s: float = 0.5
    max_wait_s: float = 60.0
    max_output_tokens: int = 64

    def __post_init__(self) -> None:
        if not 1 <= self.concurrency <= 256:
            raise ConfigurationError(f"concurrency is {self.concurrency}; allowed: 1 to 256.")
        if min(self.timeout_s, self.max_wait_s, self.max_output_tokens) <= 0 or self.retries < 0:
            raise ConfigurationError("Waits, timeouts and output tokens are above 0, retries 0 or more.")


class _Failed(Exception):
    """No reply to one question.

    ``fatal``: nor to any other; ``again``: worth another try; ``everyone``: all workers wait before it.
    """

    def __init__(self, why: str, *, fatal: bool = False, again: bool = False, everyone: bool = False) -> None:
        super().__init__(why)
        self.fatal, self.again, self.everyone = fatal, again, everyone


@dataclass
class Engine:
    """One run against one endpoint.

    ``counts`` has, when the run is over: sent (requests), cached, retried, unreachable (questions without a
    reply), over budget, usage doubted (replies whose own count of tokens cannot be true).
    """

    endpoint: Endpoint
    replies: Replies
    budget: Budget = field(default_factory=Budget)
    limits: Limits = field(default_factory=Limits)
    counts: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._schema = True
        self._failed = 0
        self._not_before = 0.0
        self._stopped: JudgeError | None = None

    async def run(self, asks: Iterable[Ask], told: Callable[[Ask, Reply], None]) -> None:
        """Answer every question that the budget allows; ``told`` hears each answer after it was kept.

        Raises:
            JudgeError: the endpoint cannot be used, or stopped answering.
            ConfigurationError: its address is refused.
        """
        async with Sender(self.endpoint, self.limits.concurrency) as self._sender:
            waiting = iter(asks)
            workers = [asyncio.create_task(self._work(waiting, told)) for _ in range(self.limits.concurrency)]
            try:
                await asyncio.gather(*workers)
            finally:
                for worker in workers:
                    worker.cancel()
                await asyncio.gather(*workers, return_exceptions=True)
        if self._stopped is not None:
            raise self._stopped

    async def _work(self, waiting: Iterator[Ask], told: Callable[[Ask, Reply], None]) -> None:
        for ask in waiting:
            if self._stopped is not None:
                return
            key = ask.key(self.endpoint.model)
            reply = self.replies.get(key)
            if reply is not None:
                self.counts["cached"] += 1
                told(ask, reply)
                await asyncio.sleep(0)
                continue
            try:
                reply = await self._bought(ask, key)
            except _Failed as exc:
                self._fail(exc)
                continue
            if reply is None:
                self.counts["over budget"] += 1
                continue
            told(ask, reply)

    async def _bought(self, ask: Ask, key: bytes) -> Reply | None:
        """A reply that is paid for and kept, after as many tries as it takes; None: none in the budget."""
        said = messages(ask, self.replies.mark(key))
        attempt = 0
        while True:
            pause = self._not_before - time.monotonic()
            if pause > 0:
                await asyncio.sleep(pause)
            if self._stopped is not None:
                raise _Failed("the run was stopped")
            reserved = reservation(said, self.limits)
            if not await self.budget.reserve(*reserved):
                return None
            used = (0, 0)
            try:
                response = await self._tried(ask, key, said)
                if response.status == 200:
                    used = reserved
                    found = response.json()
                    reply = read_reply(ask.mode, found)
                    if reply is None:
                        raise _Failed(_NO_COMPLETION)
                    used = self._used(found, said)
                    reply = replace(reply, tokens_in=used[0], tokens_out=used[1])
                    self.replies.put(key, reply)
                    self._failed = 0
                    return reply
                why, wait_s = _why(response), response.retry_after_s
            except (httpx.ConnectError, httpx.ConnectTimeout) as exc:
                why, wait_s = _Failed(f"{type(exc).__name__}: {exc}", again=True), None
            except httpx.TransportError as exc:  # it may have been worked on, and be charged for
                used = reserved
                why, wait_s = _Failed(f"{type(exc).__name__}: {exc}", again=True), None
            except BaseException:
                used = reserved
                raise
            finally:
                await self.budget.settle(reserved, used)
            if not why.again or attempt >= self.limits.retries:
                raise why
            await self._wait(attempt, wait_s, everyone=why.everyone)
            attempt += 1

    async def _tried(self, ask: Ask, key: bytes, said: list[dict[str, str]]) -> Response:
        """One try; an endpoint that refuses the JSON schema is asked without, now and from now on."""
        with_schema = self._schema
        found = await self._timed(ask, key, said, with_schema)
        if found.status in _NO_SCHEMA and with_schema:
            self.counts["retried"] += 1
            found = await self._timed(ask, key, said, False)
            self._schema = found.status != 200
        return found

    async def _timed(self, ask: Ask, key: bytes, said: list[dict[str, str]], with_schema: bool) -> Response:
        self.counts["sent"] += 1
        content: dict[str, Any] = {
            "model": self.endpoint.model,
            "messages": said,
            "temperature": 0,
            "max_tokens": self.limits.max_output_tokens,
        }
        if with_schema:
            content["response_format"] = response_format(ask.mode)
        once = key.hex() if with_schema else f"{key.hex()}-plain"
        try:
            return await asyncio.wait_for(self._sender.post(content, once), self.limits.timeout_s)
        except asyncio.TimeoutError:
            raise _Failed(f"no answer within {self.limits.timeout_s:g} s") from None
        except TooLong as exc:
            raise _Failed(str(exc)) from None

    async def _wait(self, attempt: int, asked: float | None, *, everyone: bool) -> None:
        self.counts["retried"] += 1
        if asked is not None and asked > self.limits.max_wait_s:
            raise _Failed(f"wants to be left alone for {asked:.0f} s", fatal=True)
        most = min(self.limits.first_wait_s * 2**attempt, self.limits.max_wait_s)
        wait_s = random.uniform(0, most) + (asked or 0.0)
        if everyone:
            self._not_before = max(self._not_before, time.monotonic() + wait_s)
        await asyncio.sleep(wait_s)

    def _fail(self, exc: _Failed) -> None:
        if self._stopped is not None:
            return
        self.counts["unreachable"] += 1
        self._failed += 1
        if exc.fatal or self._failed >= _MAX_FAILED:
            self._stopped = JudgeError(f"The judge at {self.endpoint.host} {_says(exc)}. {_KEPT}")

    def _used(self, body: Any, said: list[dict[str, str]]) -> tuple[int, int]:
        """Tokens in and out as the endpoint says, but never less than there must have been."""
        usage = body.get("usage") if isinstance(body, dict) else None
        text = _content(body)
        least = sum(len(one["content"]) for one in said) // 12, -(-len(text) // 12)
        guess = sum(estimate_tokens(one["content"]) for one in said), estimate_tokens(text) if text else 0
        used = []
        for name, floor, plausible in zip(("prompt_tokens", "completion_tokens"), least, guess):
            told = usage.get(name) if isinstance(usage, dict) else None
            good = isinstance(told, int) and not isinstance(told, bool) and floor <= told < 10**9
            self.counts["usage doubted"] += not good
            used.append(told if isinstance(told, int) and good else plausible)
        return used[0], used[1]


def reservation(said: list[dict[str, str]], limits: Limits) -> tuple[int, int]:
    """Tokens in and out that are set aside for a request."""
    return sum(estimate_tokens(one["content"]) for one in said), limits.max_output_tokens


def estimate(asks: Iterable[Ask], replies: Replies, model: str, limits: Limits) -> tuple[int, int, int, int]:
    """Requests to send, replies there already, and tokens in and out at most; nothing is sent."""
    to_send = cached = tokens_in = tokens_out = 0
    for ask in asks:
        key = ask.key(model)
        if replies.get(key) is not None:
            cached += 1
            continue
        most = reservation(messages(ask, replies.mark(key)), limits)
        to_send, tokens_in, tokens_out = to_send + 1, tokens_in + most[0], tokens_out + most[1]
    return to_send, cached, tokens_in, tokens_out


def _why(response: Response) -> _Failed:
    """What a status other than 200 means for this question and for all."""
    status = response.status
    if 300 <= status < 400:
        return _Failed(
            f"redirects to {response.location}, which is not followed: nothing was sent there. Put the final "
            "address into RAGWHEEL_JUDGE_URL",
            fatal=True,
        )
    if status in _FATAL:
        return _Failed(f"{_FATAL[status]} (HTTP {status})", fatal=True)
    return _Failed(f"HTTP {status}", again=status in _AGAIN, everyone=status == 429)


def _content(body: Any) -> str:
    try:
        return str(body["choices"][0]["message"]["content"] or "")
    except (KeyError, IndexError, TypeError):
        return ""


def _says(exc: _Failed) -> str:
    return (
        str(exc)
        if exc.fatal
        else f"stopped answering: {_MAX_FAILED} questions in a row failed, the last with {exc}"
    )
