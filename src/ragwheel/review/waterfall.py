"""A waterfall of log-likelihood ratios as SVG: from the prior over each kind of evidence to the belief."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

from ragwheel.labels import GradeExplanation

__all__ = ["WaterfallStep", "draw", "steps_of"]

_ROW: Final = 30
_LEFT: Final = 280
_WIDE: Final = 720
_RIGHT: Final = 70
_TICKS: Final = (0.01, 0.05, 0.2, 0.5, 0.8, 0.95, 0.99)
_NAME: Final = 34
_APART: Final = 34


@dataclass(frozen=True)
class WaterfallStep:
    """One bar: what it stands for, its log-likelihood ratio, and whether it is a level, not a change."""

    name: str
    log_odds: float
    level: bool = False


def steps_of(verdict: GradeExplanation) -> list[WaterfallStep]:
    """Return the bars of a verdict; they add up to its log-odds. Empty where a person's word decides."""
    if any(reason.kind == "judged_human" for reason in verdict.reasons):
        return []
    steps = [WaterfallStep("before any evidence", verdict.prior, level=True)]
    for reason in sorted(verdict.reasons, key=lambda reason: -abs(reason.log_odds)):
        times = f" × {reason.n:,}" if reason.n > 1 else ""
        steps.append(WaterfallStep(f"{reason.description}{times}", reason.log_odds))
    steps += [WaterfallStep(label, value) for label, value in verdict.corrections_in_words.items()]
    if verdict.lent:
        steps.append(WaterfallStep("from close questions", verdict.lent))
    steps.append(WaterfallStep("belief", verdict.log_odds, level=True))
    return steps


def draw(steps: Sequence[WaterfallStep]) -> Markup:
    """Return an inline SVG with classes instead of styles; every text is escaped."""
    ends: list[tuple[float, float]] = []
    sum_so_far = 0.0
    for step in steps:
        start = 0.0 if step.level else sum_so_far
        sum_so_far = step.log_odds if step.level else sum_so_far + step.log_odds
        ends.append((start, sum_so_far))
    low = min([-1.0, *(min(pair) for pair in ends)]) * 1.05
    high = max([1.0, *(max(pair) for pair in ends)]) * 1.05

    def x(value: float) -> float:
        return round(_LEFT + (value - low) / (high - low) * (_WIDE - _LEFT - _RIGHT), 1)

    height = _ROW * len(steps) + 28
    parts = [_axis(x, low, high, height)]
    for n, (step, (start, end)) in enumerate(zip(steps, ends)):
        top = n * _ROW + 6
        kind = "level" if step.level else "for" if step.log_odds >= 0 else "against"
        name = step.name if len(step.name) <= _NAME else f"{step.name[: _NAME - 1]}…"
        parts.append(
            Markup(
                '<text class="name" x="{}" y="{}" text-anchor="end">{}</text>'
                '<rect class="{}" x="{}" y="{}" width="{}" height="{}" rx="2"><title>{}: {}</title></rect>'
                '<text class="value" x="{}" y="{}">{}</text>'
            ).format(
                _LEFT - 8, top + 15, name,
                kind, min(x(start), x(end)), top, max(abs(x(end) - x(start)), 1.5), _ROW - 10,
                step.name, f"{step.log_odds:+.2f}",
                max(x(start), x(end)) + 6, top + 15, _value(step, last=n == len(steps) - 1),
            )
        )  # fmt: skip
    return Markup('<svg class="waterfall" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        _WIDE, height, "Waterfall of the evidence; the table below says the same", Markup("").join(parts)
    )


def _value(step: WaterfallStep, *, last: bool) -> str:
    if not last:
        return f"{step.log_odds:+.2f}"
    belief = 1 / (1 + math.exp(-step.log_odds))
    return ">99.9%" if belief > 0.999 else "<0.1%" if belief < 0.001 else f"{belief:.0%}"


def _axis(x: Callable[[float], float], low: float, high: float, height: int) -> Markup:
    """Lines where the belief is 1 %, 5 %, … 99 %."""
    parts = []
    last = -1e9
    for share in _TICKS:
        value = math.log(share / (1 - share))
        if low <= value <= high and x(value) - last >= _APART:
            last = x(value)
            parts.append(
                Markup(
                    '<line class="{}" x1="{}" x2="{}" y1="0" y2="{}"/><text class="tick" x="{}" y="{}" '
                    'text-anchor="middle">{}</text>'
                ).format(
                    "half" if share == 0.5 else "grid",
                    x(value),
                    x(value),
                    height - 22,
                    x(value),
                    height - 6,
                    f"{share:.0%}",
                )
            )
    return Markup("").join(parts)
