"""Redactors that look for what has a form: e-mail, phone, payment card, IBAN, keys and tokens.

Each finds few things rather than wrong ones: dates, versions, ISBNs, IP addresses and measurements stay.
All run in time linear in the text, whatever it holds, and need nothing but :mod:`re`. What has no form
(names, addresses) needs a model: see :func:`ragwheel.redaction.presidio`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Final

from ragwheel.errors import ConfigurationError

__all__ = ["NAMES", "Redactor", "Span", "chain", "named", "patterns", "replaced", "standard"]

Redactor = Callable[[str], str]
Span = tuple[int, int]  # where something begins and ends in a text

_EMAIL: Final = re.compile(
    r"(?<![\w.%+-])[\w.%+-]{1,256}@(?:[\w-]{1,63}\.){1,8}[^\W\d_]{2,24}(?![^\W_])"  # IDN too
)
_REMEMBERED: Final = 2048
_REMEMBERED_CHARS: Final = 4096
"""Chunks come back often: results for texts up to this length are remembered."""


def _emails(text: str) -> Iterator[Span]:
    if "@" in text:
        yield from (match.span() for match in _EMAIL.finditer(text))


NAMES: Final = ("secret", "email", "iban", "card", "phone")
"""What :func:`patterns` can look for, in the order in which it does (a token may hold a card number)."""


@lru_cache
def _finders() -> dict[str, Callable[[str], Iterator[Span]]]:
    """By name. Their expressions are compiled when an app redacts, not when it imports ragwheel."""
    from ragwheel.redaction import numbers, secrets

    return {
        "secret": secrets.find,
        "email": _emails,
        "iban": numbers.ibans,
        "card": numbers.cards,
        "phone": numbers.phones,
    }


def standard() -> Redactor:
    """A redactor for all of :data:`NAMES`: ``write to ada@example.org`` becomes ``write to [email]``."""
    return patterns(*NAMES)


def patterns(*names: str) -> Redactor:
    """A redactor for some of :data:`NAMES`; what it finds becomes ``[name]``.

    Raises:
        ConfigurationError: a name is none of them.
    """
    unknown = [name for name in names if name not in NAMES]
    if unknown or not names:
        raise ConfigurationError(
            f"redaction.patterns: got {', '.join(map(repr, unknown)) or 'no name'}, "
            f"allowed: {', '.join(map(repr, NAMES))}. All of them: redaction.standard()"
        )
    chosen = [(f"[{name}]", find) for name, find in _finders().items() if name in names]

    def redact(text: str) -> str:
        for mark, find in chosen:
            text = replaced(text, ((span, mark) for span in find(text)))
        return text

    remembered = lru_cache(_REMEMBERED)(redact)
    return lambda text: remembered(text) if len(text) <= _REMEMBERED_CHARS else redact(text)


def chain(*redactors: Redactor) -> Redactor:
    """A redactor that applies several, each to what the one before it left."""

    def redact(text: str) -> str:
        for each in redactors:
            text = each(text)
        return text

    return redact


def named(names: str) -> Redactor:
    """The redactor of ``"standard"``, or of some :data:`NAMES` separated by commas: ``"email,secret"``.

    Raises:
        ConfigurationError: a name is none of them.
    """
    if names.strip() == "standard":
        return standard()
    return patterns(*(name.strip() for name in names.split(",") if name.strip()))


def replaced(text: str, spans: Iterable[tuple[Span, str]]) -> str:
    """The text with each span replaced by its mark; spans in rising order, none within another."""
    parts, at = [], 0
    for (start, end), mark in spans:
        parts += [text[at:start], mark]
        at = end
    return "".join((*parts, text[at:])) if parts else text
