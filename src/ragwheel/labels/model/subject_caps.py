"""How much one subject may say: readings scaled down to a bound, in whole millionths."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import ibis
from ibis import _

from ragwheel.labels.evidence.kinds import KINDS

__all__ = ["MICRO", "THEIRS", "of_people", "scaled"]

MICRO: Final = 1_000_000
#: Channels of what people do and say themselves; the others are somebody else's word.
THEIRS: Final = ("opening", "reading", "explicit")


def of_people(kind: Any) -> Any:
    """Whether a column of kinds names what people do and say themselves."""
    return kind.isin([name for name, rule in KINDS.items() if rule.channel in THEIRS])


def scaled(readings: ibis.Table, over: Sequence[str], most: float) -> ibis.Table:
    """The same rows, their column ``reading`` scaled so that no group's sum without signs exceeds ``most``.

    Args:
        readings: ``reading`` in millionths.
        over: the columns of a group.
        most: not in millionths.
    """
    cap = int(most * MICRO)
    total = readings.reading.abs().sum().over(group_by=list(over)).cast("int64")
    readings = readings.mutate(total=total)
    less = (readings.reading.cast("float64") * cap / readings.total).round().cast("int64")
    return readings.mutate(reading=ibis.ifelse(_.total > cap, less, _.reading)).drop("total")
