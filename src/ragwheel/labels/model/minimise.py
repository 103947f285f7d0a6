"""Minimising a smooth function of many variables: limited-memory BFGS, in numpy alone.

Nocedal, Updating quasi-Newton matrices with limited storage, Mathematics of Computation 35 (1980). SciPy has
the method, too; it is no dependency of ``ragwheel build``, which needs numpy anyway.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt

__all__ = ["minimise"]

Floats = npt.NDArray[np.float64]
Objective = Callable[[Floats], tuple[float, Floats]]

_MEMORY: Final = 20
_SUFFICIENT: Final = 1e-4  # of the decrease that the slope promises (Armijo)
_HALVINGS: Final = 25
_LONGEST: Final = 3.0  # step of one variable


def minimise(objective: Objective, start: Floats, *, rounds: int, tolerance: float) -> Floats:
    """Return where the objective has a minimum near ``start``.

    Args:
        objective: gives the value and the gradient at a point.
        start: the first point.
        rounds: at most so many steps.
        tolerance: ends when a step gains less than this.
    """
    point, (value, gradient) = start, objective(start)
    history: deque[tuple[Floats, Floats]] = deque(maxlen=_MEMORY)
    for _ in range(rounds):
        direction = _direction(gradient, history)
        direction = direction / max(float(np.abs(direction).max()) / _LONGEST, 1.0)
        slope = float(direction @ gradient)
        if slope >= 0:
            history.clear()
            direction = -gradient / max(float(np.abs(gradient).max()), 1e-12)
            slope = float(direction @ gradient)
        length = 1.0 if history else min(1.0, 1 / max(float(np.abs(gradient).max()), 1e-12))
        for _halving in range(_HALVINGS):
            after = point + length * direction
            there, new_gradient = objective(after)
            if there <= value + _SUFFICIENT * length * slope:
                break
            length /= 2
        else:
            return point
        step, change = after - point, new_gradient - gradient
        if float(step @ change) > 1e-10:
            history.append((step, change))
        gained = value - there
        point, value, gradient = after, there, new_gradient
        if gained < tolerance:
            break
    return point


def _direction(gradient: Floats, history: deque[tuple[Floats, Floats]]) -> Floats:
    """Return the quasi-Newton direction by the two-loop recursion."""
    direction, factors = -gradient, []
    for step, change in reversed(history):
        factor = float(step @ direction) / float(step @ change)
        direction = direction - factor * change
        factors.append(factor)
    if history:
        step, change = history[-1]
        direction = direction * (float(step @ change) / float(change @ change))
    for (step, change), factor in zip(history, reversed(factors)):
        direction = direction + step * (factor - float(change @ direction) / float(step @ change))
    return np.asarray(direction)
