"""The budget of a run: tokens and money are reserved before each request and settled after it.

The sum of what is spent and reserved never exceeds the budget. An overrun is possible only if requests in
flight use more than was reserved for them.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from ragwheel.errors import ConfigurationError

__all__ = ["Budget", "Cost", "Prices", "estimate_tokens"]

_CHARS_PER_TOKEN = 3.0
_OVERHEAD_TOKENS = 16


def estimate_tokens(text: str) -> int:
    """Estimate the number of tokens as a third of the bytes, which is high for English."""
    return int(len(text.encode("utf-8", "replace")) / _CHARS_PER_TOKEN) + _OVERHEAD_TOKENS


@dataclass(frozen=True)
class Prices:
    """US dollars per million tokens of input and of output."""

    usd_in: float = 0.0
    usd_out: float = 0.0

    def of(self, tokens_in: int, tokens_out: int) -> float:
        """Return the price of these tokens in US dollars."""
        return (tokens_in * self.usd_in + tokens_out * self.usd_out) / 1e6


@dataclass
class Cost:
    """The tokens that were used, and their price."""

    tokens_in: int = 0
    tokens_out: int = 0
    usd: float = 0.0

    @property
    def tokens(self) -> int:
        """Tokens of input and output together."""
        return self.tokens_in + self.tokens_out


@dataclass
class Budget:
    """The limits of a run; None means no limit.

    Args:
        tokens: tokens of input and output together.
        usd: US dollars; needs ``prices``.
        prices: US dollars per million tokens.

    Raises:
        ConfigurationError: a limit is not positive, or ``usd`` is given without ``prices``.
    """

    tokens: int | None = None
    usd: float | None = None
    prices: Prices = field(default_factory=Prices)
    spent: Cost = field(default_factory=Cost)

    def __post_init__(self) -> None:
        self._reserved: list[tuple[int, int]] = []
        self._changed = asyncio.Condition()
        if min(self.prices.usd_in, self.prices.usd_out) < 0:
            raise ConfigurationError(
                "Prices are below zero; allowed: 0 or more US dollars per million tokens."
            )
        if (self.tokens is not None and self.tokens <= 0) or (self.usd is not None and not self.usd > 0):
            raise ConfigurationError("A budget of nothing buys nothing; allowed: more than 0. Or: --dry-run")
        if self.usd is not None and not self.prices.of(1, 1) > 0:
            raise ConfigurationError(
                "A budget in money needs prices: got none. Add --price-in and --price-out (US dollars per "
                "million tokens), or set --budget-tokens instead."
            )

    async def reserve(self, tokens_in: int, tokens_out: int) -> bool:
        """Reserve tokens for a request, waiting for others in flight if need be; False if none are left."""
        async with self._changed:
            while not self._fits(tokens_in, tokens_out):
                if not self._reserved:
                    return False
                await self._changed.wait()
            self._reserved.append((tokens_in, tokens_out))
            return True

    async def settle(self, reserved: tuple[int, int], used: tuple[int, int]) -> None:
        """Replace a reservation by the tokens that were used."""
        async with self._changed:
            self._reserved.remove(reserved)
            self.spent.tokens_in += used[0]
            self.spent.tokens_out += used[1]
            self.spent.usd = self.prices.of(self.spent.tokens_in, self.spent.tokens_out)
            self._changed.notify_all()

    def _fits(self, tokens_in: int, tokens_out: int) -> bool:
        all_in = self.spent.tokens_in + tokens_in + sum(reserved_in for reserved_in, _ in self._reserved)
        all_out = self.spent.tokens_out + tokens_out + sum(reserved_out for _, reserved_out in self._reserved)
        if self.tokens is not None and all_in + all_out > self.tokens:
            return False
        return self.usd is None or self.prices.of(all_in, all_out) <= self.usd
