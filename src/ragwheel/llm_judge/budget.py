"""What a run may cost: tokens and money are reserved before a request is sent, and settled by what it used.

What is spent and what is reserved never exceed the budget together. An endpoint that uses more than was
reserved for a request can therefore overrun by the requests in flight, and by nothing else.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from ragwheel.errors import ConfigurationError

__all__ = ["Budget", "Cost", "Prices", "estimate_tokens"]

_CHARS_PER_TOKEN = 3.0
_OVERHEAD_TOKENS = 16


def estimate_tokens(text: str) -> int:
    """A careful guess, on the high side for English: a third of the bytes."""
    return int(len(text.encode("utf-8", "replace")) / _CHARS_PER_TOKEN) + _OVERHEAD_TOKENS


@dataclass(frozen=True)
class Prices:
    """Money per million tokens, in and out."""

    usd_in: float = 0.0
    usd_out: float = 0.0

    def of(self, tokens_in: int, tokens_out: int) -> float:
        """What so many tokens cost."""
        return (tokens_in * self.usd_in + tokens_out * self.usd_out) / 1e6


@dataclass
class Cost:
    """Tokens that were used, and what they cost."""

    tokens_in: int = 0
    tokens_out: int = 0
    usd: float = 0.0

    @property
    def tokens(self) -> int:
        """In and out."""
        return self.tokens_in + self.tokens_out


@dataclass
class Budget:
    """The bounds of a run; None: no bound.

    Args:
        tokens: in and out together.
        usd: needs prices.
        prices: per million tokens.

    Raises:
        ConfigurationError: a bound that is not positive, or money without prices.
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
        """Set tokens aside for one request; waits while those in flight may leave room; False: none."""
        async with self._changed:
            while not self._fits(tokens_in, tokens_out):
                if not self._reserved:
                    return False
                await self._changed.wait()
            self._reserved.append((tokens_in, tokens_out))
            return True

    async def settle(self, reserved: tuple[int, int], used: tuple[int, int]) -> None:
        """Replace a reservation by what was used."""
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
