"""What can be observed, as small numbers: the instrument of a kind and the band of an observation.

The band is the place of a chunk for citations and openings (1-10, then :data:`LAST_PLACE` for everything
below), a bin of the logarithm of the seconds for reading times, and the rounded grade for judgments of an
LLM.
"""

from __future__ import annotations

from typing import Any, Final

import ibis
import numpy as np

from ragwheel.labels.evidence.kinds import KINDS

__all__ = [
    "BANDS",
    "CITATION",
    "EVENTS",
    "FIXED",
    "JUDGE",
    "LAST_PLACE",
    "OPENING",
    "READING",
    "READING_SECONDS",
    "band_of",
    "instrument_of",
]


def _of_channel(channel: str) -> tuple[str, ...]:
    return tuple(name for name, kind in KINDS.items() if kind.channel == channel)


#: Kinds of each instrument; of the first two the last kind is the absence of the others.
CITATION: Final = _of_channel("citation")
OPENING: Final = _of_channel("opening")
READING: Final = _of_channel("reading")
EVENTS: Final = _of_channel("explicit")
FIXED: Final = _of_channel("reformulation")
JUDGE: Final = _of_channel("judge")

LAST_PLACE: Final = 11
#: Upper ends of the bins of reading times, in seconds; longer ones are in the last bin.
READING_SECONDS: Final = tuple(round(0.25 * 1.4**n, 3) for n in range(20))
BANDS: Final = len(READING_SECONDS) + 1

_INSTRUMENTS: Final = {
    **dict.fromkeys(CITATION, "citation"),
    **dict.fromkeys(OPENING, "opening"),
    **dict.fromkeys(READING, "reading"),
    **{kind: kind for kind in EVENTS},
    **dict.fromkeys(FIXED, "reformulation"),
    **dict.fromkeys(JUDGE, "judge"),
}


def instrument_of(kind: Any) -> Any:
    """Return a column with the instrument of a column of kinds; of a vote its own kind."""
    return ibis.cases(*((kind == name, value) for name, value in _INSTRUMENTS.items()), else_="")


def band_of(kind: Any, place: Any, strength: Any) -> Any:
    """Return a column with the band of each observation, 0 where its kind has none.

    Args:
        kind: a column of kinds.
        place: the place in the prompt or on the screen; may be null.
        strength: seconds for reading times, the grade for judgments.
    """
    by_place = ibis.least(place.coalesce(0), ibis.literal(LAST_PLACE, "int32")).cast("int32")
    by_length = ibis.cases(
        *((strength <= end, number) for number, end in enumerate(READING_SECONDS)),
        else_=len(READING_SECONDS),
    ).cast("int32")
    return ibis.cases(
        (kind.isin([*CITATION, *OPENING]), by_place),
        (kind.isin(READING), by_length),
        (kind.isin(JUDGE), strength.round().cast("int32")),
        else_=ibis.literal(0, "int32"),
    )


def middle_log_seconds() -> np.ndarray:
    """Return (bins,) the middle of each bin of reading times, in log seconds."""
    ends = np.log(np.array(READING_SECONDS))
    return np.append(ends - np.log(1.4) / 2, ends[-1] + np.log(1.4) / 2)
