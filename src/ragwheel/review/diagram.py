"""A reliability diagram as SVG: what was believed beside what people say; where both agree, a diagonal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from markupsafe import Markup

from ragwheel.review.intervals import wilson

__all__ = ["reliability_diagram"]

_SIDE: Final = 300
_LEFT: Final = 64
_TOP: Final = 14
_UNDER: Final = 52
_RIGHT: Final = 20
_TICKS: Final = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
_SMALL: Final = 4.0  # radius of the point with fewest pairs, in pixels; the largest has three times that


def reliability_diagram(
    bins: Sequence[Mapping[str, Any]], afterwards: Sequence[Mapping[str, Any]] = ()
) -> Markup:
    """Draw the bins of :func:`ragwheel.labels.calibration.reliability_of`.

    Args:
        bins: filled points, larger for more pairs, with the 95 % interval of the share that is relevant.
        afterwards: hollow points, the same pairs after recalibration.
    """
    most = max((row["pairs"] for row in [*bins, *afterwards]), default=1)
    parts = [_axes()]
    parts += [_point(row, most, "before", interval=True) for row in bins]
    parts += [_point(row, most, "after", interval=False) for row in afterwards]
    label = "; ".join(_in_words(row) for row in bins)
    if afterwards:
        label += "; recalibrated: " + "; ".join(_in_words(row) for row in afterwards)
    return Markup(
        '<svg class="reliability" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>'
    ).format(
        _LEFT + _SIDE + _RIGHT, _TOP + _SIDE + _UNDER, f"Reliability diagram. {label}", Markup("").join(parts)
    )  # fmt: skip


def _x(share: float) -> float:
    return round(_LEFT + share * _SIDE, 1)


def _y(share: float) -> float:
    return round(_TOP + (1 - share) * _SIDE, 1)


def _axes() -> Markup:
    parts = [_tick(share) for share in _TICKS]
    parts.append(
        Markup('<line class="right" x1="{}" y1="{}" x2="{}" y2="{}"/>').format(_x(0), _y(0), _x(1), _y(1))
    )
    parts.append(
        Markup(
            '<text class="name" x="{}" y="{}" text-anchor="middle">believed relevant</text>'
            '<text class="name" transform="translate(14 {}) rotate(-90)" text-anchor="middle">'
            "relevant, by people</text>"
        ).format(_x(0.5), _TOP + _SIDE + 42, _y(0.5))
    )
    return Markup("").join(parts)


def _tick(share: float) -> Markup:
    return Markup(
        '<line class="grid" x1="{}" x2="{}" y1="{}" y2="{}"/>'
        '<text class="tick" x="{}" y="{}" text-anchor="end">{}</text>'
        '<text class="tick" x="{}" y="{}" text-anchor="middle">{}</text>'
    ).format(
        _x(0), _x(1), _y(share), _y(share),
        _LEFT - 8, _y(share) + 4, f"{share:.0%}",
        _x(share), _TOP + _SIDE + 18, f"{share:.0%}",
    )  # fmt: skip


def _point(row: Mapping[str, Any], most: int, kind: str, *, interval: bool) -> Markup:
    x, y = _x(row["belief"]), _y(row["relevant"])
    radius = round(_SMALL * (1 + 2 * (row["pairs"] / most) ** 0.5), 1)
    whisker = Markup("")
    if interval:
        low, high = wilson(row["relevant"], row["pairs"])
        whisker = Markup('<line class="interval" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(
            x, x, _y(low), _y(high)
        )
    return whisker + Markup('<circle class="{}" cx="{}" cy="{}" r="{}"><title>{}</title></circle>').format(
        kind, x, y, radius, _in_words(row)
    )


def _in_words(row: Mapping[str, Any]) -> str:
    return f"believed {row['belief']:.0%}, relevant {row['relevant']:.0%} of {row['pairs']:,}"
