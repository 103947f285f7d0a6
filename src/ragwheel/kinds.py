"""Every kind of signal, described once; all other lists of kinds are derived from these entries.

To add a kind, add an entry to :data:`BUILT_IN`. If it is evidence for or against its chunk, give its weight
in ``labels/policy.toml``, too: the policy is refused until it has one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, get_args

from ragwheel.errors import ConfigurationError

__all__ = [
    "ATTENTION",
    "BUILT_IN",
    "CHUNK_PAIRS",
    "DISLIKED_ANSWER",
    "FAVOURABLE",
    "LIKED_ANSWER",
    "UBI_ACTIONS",
    "About",
    "SignalKind",
    "evaluation_score",
    "kinds",
    "signal_kind",
    "unit_of",
]

About = Literal["chunk", "chunk or answer", "comparison", "query", "turn", "signal"]
REGISTRABLE: Final = tuple(about for about in get_args(About) if about != "signal")


@dataclass(frozen=True)
class SignalKind:
    """A kind of signal.

    Attributes:
        name: as in ``ragwheel.signal(handle, name)``.
        about: what the signal is about: a chunk, an answer, a comparison, a query or a turn.
        low, high: bounds of the value; None where it takes none. ``high`` may be infinite.
        required: whether a signal of this kind must have a value.
        unit: the unit of the value.
        phrase: what happened to the chunk, as a past participle; used in the reasons of grades.
        attention: whether the signal shows that a person looked at the chunk. How often that happens depends
            on the rank, and the labels correct for it.
        direction: +1 if the signal alone is evidence that its chunk is relevant, -1 if it is evidence against
            it, 0 if it is neither.
        telling: the strength of a signal of attention. Of several on one chunk, the strongest counts.
        makes_chunk_pairs: whether the chunk, when it was retrieved by ``more_like_this``, becomes a positive
            for the chunk of that request.
        answer: +1 if the signal says that an answer was good, -1 if bad, 0 if neither.
        score: the value of ``gen_ai.evaluation.score``; ``"value"`` is the signal's own, None means no
            evaluation.
        ubi_actions: the ``action_name`` values of User Behavior Insights that mean this kind.
    """

    name: str
    about: About
    low: float | None = None
    high: float | None = None
    required: bool = False
    unit: str = ""
    phrase: str = ""
    attention: bool = False
    direction: Literal[-1, 0, 1] = 0
    telling: int = 0
    makes_chunk_pairs: bool = False
    answer: Literal[-1, 0, 1] = 0
    score: float | Literal["value"] | None = None
    ubi_actions: tuple[str, ...] = ()

    def accepts(self, value: float | None) -> bool:
        """Return whether a signal of this kind may have this value."""
        if value is None:
            return not self.required
        return self.low is not None and self.high is not None and self.low <= value <= self.high


def _attention(name: str, about: About, phrase: str, telling: int, *ubi_actions: str) -> SignalKind:
    return SignalKind(
        name, about, phrase=phrase, attention=True, direction=1, telling=telling, makes_chunk_pairs=True,
        ubi_actions=ubi_actions,
    )  # fmt: skip


BUILT_IN: Final = (
    SignalKind("impression", "chunk", ubi_actions=("product_hover",)),
    _attention("click", "chunk", "clicked", 3, "click_through", "item_click", "product_click"),
    _attention("copy", "chunk or answer", "copied", 4),
    _attention("expand", "chunk", "expanded", 2, "view"),
    _attention("bookmark", "chunk", "bookmarked", 5, "add_to_cart", "save"),
    SignalKind("dwell", "chunk", 0.0, 86_400.0, required=True, unit="s", ubi_actions=("watch",)),
    SignalKind(
        "thumbs_up", "chunk or answer", phrase="given a thumbs-up", direction=1, makes_chunk_pairs=True,
        answer=1, score=1.0,
    ),
    SignalKind("delete", "chunk", phrase="deleted from the results", direction=-1),
    SignalKind(
        "thumbs_down", "chunk or answer", phrase="given a thumbs-down", direction=-1, answer=-1, score=0.0
    ),
    SignalKind("rating", "chunk or answer", 0.0, 5.0, required=True, unit="0-5", score="value"),
    _attention("more_like_this", "chunk", "asked for more like it", 1),
    SignalKind("prefer", "comparison", phrase="preferred over another chunk", direction=1),
    SignalKind("reformulate", "query", answer=-1),
    SignalKind("follow_up", "turn"),
    SignalKind("abandon", "turn", answer=-1),
    SignalKind("convert", "turn", -math.inf, math.inf, answer=1, ubi_actions=("purchase", "conversion")),
    SignalKind("retract", "signal"),
)  # fmt: skip
_kinds: dict[str, SignalKind] = {kind.name: kind for kind in BUILT_IN}

#: What people do with a chunk that they looked at.
ATTENTION: Final = tuple(kind.name for kind in BUILT_IN if kind.attention)
#: Signals that are evidence that their chunk is relevant, whatever their value.
FAVOURABLE: Final = tuple(kind.name for kind in BUILT_IN if kind.direction > 0)
#: Signals that make a chunk, retrieved by ``more_like_this``, a positive for the chunk of that request.
CHUNK_PAIRS: Final = tuple(kind.name for kind in BUILT_IN if kind.makes_chunk_pairs)
#: Signals that say that an answer was good, or bad; ratings say it by their value.
LIKED_ANSWER: Final = tuple(kind.name for kind in BUILT_IN if kind.answer > 0)
DISLIKED_ANSWER: Final = tuple(kind.name for kind in BUILT_IN if kind.answer < 0)
#: Action names of User Behavior Insights; any other action is taken for a kind of that name.
UBI_ACTIONS: Final = {action: kind.name for kind in BUILT_IN for action in kind.ubi_actions}


def unit_of(kind: str) -> str | None:
    """Return the unit of a kind's values, or None if it has none."""
    entry = _kinds.get(kind)
    return (entry.unit or None) if entry else None


def evaluation_score(kind: str, value: float | None) -> float | None:
    """Return a signal's score as a ``gen_ai.evaluation.result``, or None if it is no evaluation."""
    score = entry.score if (entry := _kinds.get(kind)) else None
    return value if score == "value" else score


def kinds() -> Mapping[str, SignalKind]:
    """Return all kinds by name, those that are built in and those that were registered."""
    return _kinds


def signal_kind(
    name: str,
    *,
    about: About,
    low: float | None = None,
    high: float | None = None,
    required: bool = False,
    unit: str = "",
) -> SignalKind:
    """Register a kind of signal of your own.

    Args:
        name: letters, digits and ``_``; not one of the built-in kinds.
        about: what the signal is about: ``"chunk"``, ``"chunk or answer"``, ``"comparison"`` (needs
            ``other``), ``"query"`` or ``"turn"``.
        low, high: bounds of the value; leave both out for a kind without a value.
        required: whether a signal must have a value.
        unit: the unit of the value.

    Raises:
        ConfigurationError: the name is taken or not a name, ``about`` is none of these, or the bounds do
            not fit together.
    """
    if not str(name).isidentifier() or len(name) > 100:
        raise ConfigurationError(
            f"signal_kind: got the name {name!r:.100}, "
            f"allowed: up to 100 letters, digits and _, as in 'share'."
        )
    if about not in REGISTRABLE:
        raise ConfigurationError(
            f"signal_kind {name!r}: got about={about!r:.100}, allowed: {', '.join(map(repr, REGISTRABLE))}."
        )
    if any(name == kind.name for kind in BUILT_IN):
        raise ConfigurationError(
            f"signal_kind: {name!r} is a built-in kind and stays as it is; choose another name."
        )
    if low is None and high is None:
        fits = not required
    else:
        fits = low is not None and high is not None and low <= high
    if not fits:
        raise ConfigurationError(
            f"signal_kind {name!r}: got low={low}, high={high}, required={required}; "
            f"allowed: both bounds with low <= high, or neither for a kind without a value."
        )
    kind = SignalKind(name, about, low, high, required, unit)
    if _kinds.setdefault(name, kind) != kind:
        raise ConfigurationError(
            f"signal_kind: {name!r} is registered already as {_kinds[name]}; choose another name."
        )
    return kind
