"""Retries with exponential back-off, shared by all requests to one endpoint."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

from ragwheel.errors import ConfigurationError

__all__ = ["RequestFailed", "RetryPolicy", "Retrying"]

_T = TypeVar("_T")


@dataclass(frozen=True)
class RetryPolicy:
    """How often and how patiently a request is repeated.

    Args:
        timeout_s: for one request, from connecting to the last byte.
        retries: after the first try.
        first_wait_s: upper limit of the wait before the first retry; it doubles with each retry.
        max_wait_s: upper limit of every wait. A ``Retry-After`` beyond it ends the run.

    Raises:
        ConfigurationError: a value cannot be used.
    """

    timeout_s: float = 60.0
    retries: int = 4
    first_wait_s: float = 0.5
    max_wait_s: float = 60.0

    def __post_init__(self) -> None:
        if min(self.timeout_s, self.max_wait_s) <= 0 or min(self.first_wait_s, self.retries) < 0:
            raise ConfigurationError(
                f"timeout_s={self.timeout_s}, max_wait_s={self.max_wait_s}, retries={self.retries}; allowed: "
                "timeouts and waits above 0, retries 0 or more."
            )


class RequestFailed(Exception):
    """A request brought no usable reply.

    Attributes:
        fatal: no other request would succeed either.
        retryable: the same request may succeed later.
        everyone: all requests to the endpoint should wait, not only this one.
        retry_after_s: what the server asked to wait.
        may_cost: the server may have worked on the request, and charge for it.
    """

    def __init__(
        self,
        message: str,
        *,
        fatal: bool = False,
        retryable: bool = False,
        everyone: bool = False,
        retry_after_s: float | None = None,
        may_cost: bool = False,
    ) -> None:
        super().__init__(message)
        self.fatal, self.retryable, self.everyone = fatal, retryable, everyone
        self.retry_after_s, self.may_cost = retry_after_s, may_cost


@dataclass
class Retrying:
    """Repeat requests to one endpoint.

    Waits double and are drawn with full jitter (Brooker, "Exponential backoff and jitter", AWS Architecture
    Blog, 2015), on top of what ``Retry-After`` asks for. After a 429 all requests that share this
    object wait.
    """

    policy: RetryPolicy
    counts: Counter[str] = field(default_factory=Counter)
    _not_before_s: float = 0.0

    async def call(self, attempt: Callable[[], Awaitable[_T]]) -> _T:
        """Return what ``attempt`` returns, after as many tries as the policy allows.

        Raises:
            RequestFailed: the last try failed, or the failure is not retryable.
        """
        retry = 0
        while True:
            pause_s = self._not_before_s - time.monotonic()
            if pause_s > 0:
                await asyncio.sleep(pause_s)
            try:
                return await attempt()
            except RequestFailed as failure:
                if not failure.retryable or retry >= self.policy.retries:
                    raise
                await self._wait(retry, failure)
            retry += 1

    async def _wait(self, retry: int, failure: RequestFailed) -> None:
        self.counts["retried"] += 1
        asked_s = failure.retry_after_s or 0.0
        if asked_s > self.policy.max_wait_s:
            raise RequestFailed(f"wants to be left alone for {asked_s:.0f} s", fatal=True)
        limit_s = min(self.policy.first_wait_s * 2**retry, self.policy.max_wait_s)
        wait_s = random.uniform(0, limit_s) + asked_s
        if failure.everyone:
            self._not_before_s = max(self._not_before_s, time.monotonic() + wait_s)
        await asyncio.sleep(wait_s)
