"""How strongly rates are held to what the policy says."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Freedom", "Shrinkage"]


@dataclass(frozen=True)
class Freedom:
    """Standard deviations of what may differ from the policy, in log-odds.

    Attributes:
        rates: of the rate of a class.
        slopes: of its slope in the logarithm of the place.
        trust: of what irrelevant chunks get beyond that on first places.
        places: of one place, for both classes alike.
    """

    rates: float = 0.75
    slopes: float = 0.5
    trust: float = 0.3
    places: float = 1.5


@dataclass(frozen=True)
class Shrinkage:
    """How strongly rates are held to their priors.

    Attributes:
        rates: of the rates of a class over all places, in observations, where there is a middle class.
        places: of the rates of one place to those of all, likewise.
        informed: readings about which other evidence knew something, from which half of the difference
            between the classes is the data's.
        freedom: how far two classes may differ from the policy.
    """

    rates: float
    places: float
    informed: float
    freedom: Freedom = Freedom()
