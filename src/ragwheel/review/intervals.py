"""The 95 % interval of a share (Wilson, Probable inference, 1927)."""

from __future__ import annotations

import math
from typing import Final

__all__ = ["wilson"]

_Z: Final = 1.959964


def wilson(share: float, n: int) -> tuple[float, float]:
    """Return the interval of a share that was seen in ``n`` > 0 independent cases."""
    spread = _Z * math.sqrt(share * (1 - share) / n + _Z**2 / (4 * n**2))
    middle, scale = share + _Z**2 / (2 * n), 1 + _Z**2 / n
    return (middle - spread) / scale, (middle + spread) / scale
