"""How much people look at each rank, and how sure that is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

__all__ = ["DEFAULT", "Examination", "not_identifiable"]

#: The method of an examination that is the policy's documented curve and no estimate.
DEFAULT: Final = "default"


@dataclass(frozen=True)
class Examination:
    """Probability of examination per rank, relative to rank 1.

    Attributes:
        method: ``randomised``, ``harvested`` or ``pbm``; ``default`` where nothing could be estimated and the
            policy's curve is used.
        theta: for ranks 1, 2, …: how often it is looked at for every time that rank 1 is; empty when not
            identifiable.
        low, high: 95 % intervals of ``theta``, clustered by query group.
        impressions, clicks, queries: what it was estimated from: only items that say something about it.
        identifiable: whether the data can tell examination from relevance at all.
        why_not: what was missing, for people; also of methods that were tried before this one.
    """

    method: str
    theta: tuple[float, ...] = ()
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    impressions: int = 0
    clicks: int = 0
    queries: int = 0
    identifiable: bool = False
    why_not: str = ""

    @property
    def usable(self) -> bool:
        """Whether it says something of rank 2 at least."""
        return self.identifiable and len(self.theta) > 1

    def widths(self) -> tuple[float, ...]:
        """Half the width of each interval."""
        return tuple((high - low) / 2 for low, high in zip(self.low, self.high))

    def first(self, ranks: int, why: str = "") -> Examination:
        """The same of the first ``ranks`` ranks only."""
        cut = {name: getattr(self, name)[:ranks] for name in ("theta", "low", "high")}
        return Examination(**{**vars(self), **cut, "why_not": _both(self.why_not, why)})

    def noting(self, why: str) -> Examination:
        """The same with more said about what was missing."""
        return Examination(**{**vars(self), "why_not": _both(why, self.why_not)})

    def as_dict(self) -> dict[str, Any]:
        """For manifests and reports: plain numbers, rounded."""
        numbers: dict[str, Any] = {
            "method": self.method,
            "identifiable": self.identifiable,
            "impressions": self.impressions,
            "clicks": self.clicks,
            "queries": self.queries,
        }
        for name in ("theta", "low", "high"):
            if getattr(self, name):
                numbers[name] = [round(value, 4) for value in getattr(self, name)]
        return numbers | ({"why_not": self.why_not} if self.why_not else {})

    def __str__(self) -> str:
        if not self.usable:
            return f"not estimated, the policy's curve is used ({self.why_not})"
        ranks = ", ".join(
            f"rank {rank}: {value:.2f} ({low:.2f} to {high:.2f})"
            for rank, (value, low, high) in enumerate(zip(self.theta, self.low, self.high), 1)
        )
        return f"{self.method}, from {self.clicks} clicks on {self.queries} queries: {ranks}"


def not_identifiable(method: str, why: str) -> Examination:
    """An abstention, with the reason."""
    return Examination(method, why_not=why)


def _both(*reasons: str) -> str:
    return "; ".join(dict.fromkeys(reason for reason in reasons if reason))
