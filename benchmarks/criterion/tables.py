"""How well each criterion orders the candidates, and what its choice loses: Markdown tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from labels.summary import table
from scipy.stats import spearmanr

from criterion.candidates import DEFAULT
from criterion.criteria import CRITERIA, Case, Floats, promises, scores_of

__all__ = ["choices", "tables"]

#: From the numbers of the candidates (the base first) to the place of the one that is taken.
Rule = Callable[[Case, Floats], int]

_PLENTY: Final = 1 / 3
_WORTH: Final = 0.01


def best(_case: Case, scores: Floats) -> int:
    """The highest."""
    return int(scores.argmax())


def default(case: Case, _scores: Floats) -> int:
    """Always the default."""
    return case.names.index(DEFAULT)


POOLS: Final[dict[str, Callable[[str], bool]]] = {
    "adapters": lambda name: not name.startswith("fusion"),
    "with fusions": lambda _name: True,
}


def choices(case: Case, scores: Floats, rule: Rule, pool: str) -> tuple[float, float, bool]:
    """Gain of the choice, its regret, and whether the base came back where many gained."""
    kept = [place for place, name in enumerate(case.names) if POOLS[pool](name)]
    gains = case.gains[kept]
    names = [case.names[place] for place in kept]
    chosen = rule(_Part(names), scores[kept])  # type: ignore[arg-type]
    many = (gains[1:] >= _WORTH).mean() > _PLENTY
    return float(gains[chosen]), float(gains.max() - gains[chosen]), bool(many and chosen == 0)


class _Part:
    def __init__(self, names: list[str]) -> None:
        self.names = names


def tables(cases: Sequence[Case]) -> str:
    """All tables."""
    seeds = sorted({case.seed for case in cases})
    parts = [
        f"{len(cases)} crowds of the seeds {seeds[0]} to {seeds[-1]}; "
        + ", ".join(f"{name} {sum(c.collection == name for c in cases)}"
                    for name in dict.fromkeys(case.collection for case in cases))
    ]  # fmt: skip
    rows = []
    for criterion in CRITERIA:
        for dev in (True, False):
            every = [scores_of(case, criterion, dev=dev) for case in cases]
            row = [criterion, "a fifth" if dev else "all"]
            for pool in POOLS:
                row.append(_mean([_order(case, scores, pool) for case, scores in zip(cases, every)], 2))
                found = [choices(case, scores, best, pool) for case, scores in zip(cases, every)]
                row += [_spread([one[1] for one in found]), str(sum(one[2] for one in found))]
            rows.append(row)
    head = ["criterion", "questions"]
    for pool in POOLS:
        head += [f"{pool}: rank correlation", "regret: mean; worst", "base, wrongly"]
    parts.append(table(head, rows))
    fixed = [choices(case, case.gains, default, "adapters") for case in cases]
    parts.append(
        f"Always the default ({DEFAULT}): regret {_spread([one[1] for one in fixed])}, gain "
        f"{_mean([one[0] for one in fixed], 3)}. Always the base: regret "
        f"{_spread([float(case.gains.max()) for case in cases])}."
    )
    return "\n\n".join([*parts, _promised(cases)])


def _promised(cases: Sequence[Case]) -> str:
    """How honest the expected gain is: of every trained adapter, and of the chosen one."""
    rows = []
    for part in ("all", "seen", "unseen"):
        for who, of_chosen in (("every adapter", False), ("the chosen one", True)):
            figures = np.array([row for case in cases for row in _kept_or_not(case, part, of_chosen)])
            if len(figures):
                promised, true, error, inside = figures.mean(axis=0)
                means = (f"{promised:+.3f}", f"{true:+.3f}", f"{error:.3f}", f"{inside:.0%}")
                rows.append([part, who, str(len(figures)), *means])
    head = ["questions", "of", "promises", "promised", "measured", "mean error", "interval holds it"]
    return (
        "The expected gain beside the gain by people's labels of questions that nobody asked. *Interval "
        "holds it*: within 95 % of what chance does to both samples of questions.\n\n" + table(head, rows)
    )


def _kept_or_not(case: Case, part: str, of_chosen: bool) -> list[tuple[float, float, float, bool]]:
    """The promise, the truth, the error, and whether the interval holds it, of trained candidates."""
    gains = promises(case, part)
    if gains is None:
        return []
    places = [place for place, name in enumerate(case.names) if _is_trained(name)]
    if of_chosen:
        scores = scores_of(case, "expected rise by slice", dev=False)
        places = [max(places, key=lambda place: scores[place])]
    rows = []
    for place in places:
        gain, truth = gains[0][place], gains[1][place]
        error = abs(gain.mean - truth.mean())
        spread = np.hypot((gain.high - gain.low) / 3.92, truth.std() / len(truth) ** 0.5)
        rows.append((gain.mean, float(truth.mean()), error, bool(error <= 1.96 * spread)))
    return rows


def _is_trained(name: str) -> bool:
    return not name.startswith(("base", "fusion", "noise"))


def _order(case: Case, scores: Floats, pool: str) -> float:
    kept = [place for place, name in enumerate(case.names) if POOLS[pool](name)]
    found = spearmanr(scores[kept], case.gains[kept]).statistic
    return 0.0 if np.isnan(found) else float(found)


def _mean(values: Sequence[float], digits: int) -> str:
    return f"{np.mean(values):.{digits}f}"


def _spread(values: Sequence[float]) -> str:
    return f"{np.mean(values):.3f}; {np.max(values):.3f}"
