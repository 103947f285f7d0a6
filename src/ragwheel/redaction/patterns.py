"""Redaction by patterns: e-mail addresses, phone numbers, payment cards, IBANs, keys and tokens.

The patterns prefer precision to recall: dates, versions, ISBNs, IP addresses and measurements are kept. All
run in linear time for any text and need only :mod:`re`. Names and postal addresses have no fixed form and
need a model: see :func:`ragwheel.redaction.presidio`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Final

from ragwheel.errors import ConfigurationError

__all__ = ["NAMES", "Redactor", "Span", "chain", "named", "patterns", "replaced", "standard"]

Redactor = Callable[[str], str]
Span = tuple[int, int]  # start and end of a match in a text

_EMAIL: Final = re.compile(
    r"(?<![\w.%+-])[\w.%+-]{1,256}@(?:[\w-]{1,63}\.){1,8}[^\W\d_]{2,24}(?![^\W_])"  # IDN too
)
_REMEMBERED: Final = 2048
_REMEMBERED_CHARS: Final = 4096
"""Results for texts of up to this length are cached, since the same chunks are retrieved often."""


def _emails(text: str) -> Iterator[Span]:
    if "@" in text:
        yield from (match.span() for match in _EMAIL.finditer(text))


NAMES: Final = ("secret", "email", "iban", "card", "phone")
"""The names that :func:`patterns` takes, in the order of search (a token may contain a card number)."""


@lru_cache
def _finders() -> dict[str, Callable[[str], Iterator[Span]]]:
    """Return the finders by name. Expressions are compiled when an app redacts, not at import."""
    from ragwheel.redaction import numbers, secrets

    return {
        "secret": secrets.find,
        "email": _emails,
        "iban": numbers.ibans,
        "card": numbers.cards,
        "phone": numbers.phones,
    }


def standard() -> Redactor:
    """Return a redactor for all :data:`NAMES`: ``write to ada@example.org`` becomes ``write to [email]``."""
    return patterns(*NAMES)


def patterns(*names: str) -> Redactor:
    """Return a redactor for some of :data:`NAMES`, which replaces each match by ``[name]``.

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
    """Return a redactor that applies several redactors one after the other."""

    def redact(text: str) -> str:
        for each in redactors:
            text = each(text)
        return text

    return redact


def named(names: str) -> Redactor:
    """Return the redactor for ``"standard"``, or for some :data:`NAMES` with commas: ``"email,secret"``.

    Raises:
        ConfigurationError: a name is none of them.
    """
    if names.strip() == "standard":
        return standard()
    return patterns(*(name.strip() for name in names.split(",") if name.strip()))


def replaced(text: str, spans: Iterable[tuple[Span, str]]) -> str:
    """Return the text with each span replaced by its mark; the spans are in order and do not overlap."""
    parts, at = [], 0
    for (start, end), mark in spans:
        parts += [text[at:start], mark]
        at = end
    return "".join((*parts, text[at:])) if parts else text
