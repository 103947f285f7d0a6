"""Kinds of signal: what each is about and which values it takes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, get_args

from ragwheel.errors import ConfigurationError

__all__ = ["BUILT_IN", "About", "SignalKind", "kinds", "signal_kind"]

About = Literal["chunk", "chunk or answer", "comparison", "query", "turn", "signal"]
REGISTRABLE: Final = tuple(about for about in get_args(About) if about != "signal")


@dataclass(frozen=True)
class SignalKind:
    """A kind of signal.

    ``about``: what it is said of. ``low``/``high``: bounds of the value, None where it takes none
    (``high`` may be infinite). ``required``: the value must be given. ``unit``: of the value.
    """

    name: str
    about: About
    low: float | None = None
    high: float | None = None
    required: bool = False
    unit: str = ""

    def accepts(self, value: float | None) -> bool:
        """Whether ``value`` is one this kind takes."""
        if value is None:
            return not self.required
        return self.low is not None and self.high is not None and self.low <= value <= self.high


BUILT_IN: Final = (
    SignalKind("impression", "chunk"),
    SignalKind("click", "chunk"),
    SignalKind("copy", "chunk or answer"),
    SignalKind("expand", "chunk"),
    SignalKind("bookmark", "chunk"),
    SignalKind("dwell", "chunk", 0.0, 86_400.0, required=True, unit="s"),
    SignalKind("thumbs_up", "chunk or answer"),
    SignalKind("thumbs_down", "chunk or answer"),
    SignalKind("rating", "chunk or answer", 0.0, 5.0, required=True, unit="0-5"),
    SignalKind("delete", "chunk"),
    SignalKind("more_like_this", "chunk"),
    SignalKind("prefer", "comparison"),
    SignalKind("reformulate", "query"),
    SignalKind("follow_up", "turn"),
    SignalKind("abandon", "turn"),
    SignalKind("convert", "turn", -math.inf, math.inf),
    SignalKind("retract", "signal"),
)
_kinds: dict[str, SignalKind] = {kind.name: kind for kind in BUILT_IN}


def kinds() -> Mapping[str, SignalKind]:
    """All kinds by name, built in and registered."""
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
        about: what it is said of: ``"chunk"``, ``"chunk or answer"``, ``"comparison"`` (needs ``other``),
            ``"query"`` or ``"turn"``.
        low, high: bounds of the value; leave both out for a kind without a value.
        required: the value must be given.
        unit: of the value.

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
