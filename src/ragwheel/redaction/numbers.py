"""Personal numbers: phone numbers, payment cards (ISO/IEC 7812, Luhn) and IBANs (ISO 13616, mod 97)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

__all__ = ["cards", "ibans", "phones"]

Span = tuple[int, int]

_ENOUGH_DIGITS: Final = re.compile(r"\d(?:[ .()/-]{0,2}\d){6}")
"""Seven digits with little between them, which every such number has."""

_CARD: Final = re.compile(r"(?<![\w.,+-])\d(?:[ -]?\d){12,18}(?![\w-])")
_ISSUERS: Final = re.compile(
    r"4\d{12}(?:\d{3}){0,2}|5[1-5]\d{14}|2(?:2[2-9]|[3-6]\d|7[01])\d{13}|3[47]\d{13}|3(?:0[0-5]|[68]\d)\d{11}"
    r"|35\d{14}|6(?:011|5\d\d|4[4-9]\d)\d{12}|62\d{14,17}"
)
_GROUPED: Final = re.compile(r"\d+|\d{4}([ -])\d{4}\1\d{4}\1\d{1,4}(?:\1\d{1,3})?|\d{4}([ -])\d{6}\2\d{4,5}")

_IBAN: Final = re.compile(
    r"(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?![A-Za-z0-9])"
)

_PHONES: Final = re.compile(
    r"""
      (?<![\w+]) \+ [1-9] (?: [ .()/-]{0,2} \d ){7,14} (?! \d )                        # +49 30 1234567
    | (?<![\w.,:+/-]) (?<!\d[ -]) 00 [1-9]\d{0,2} (?: [ ./-] \d{2,5} ){2,5} (?! [\w.-]?\d )  # 0049 30 1234567
    | (?<![\w.,:+/-]) (?: 1[ .-] )? (?: \([2-9]\d\d\)[ ]? | [2-9]\d\d[ .-] )             # (212) 555-0123
      [2-9]\d\d [ .-] \d{4} (?! [\w.-]?\w )
    | (?<![\w.,:+/-]) 0[1-9] (?: ([ .]) \d\d ) (?: \1 \d\d ){3} (?! [\w.,-]?\d )          # 01 23 45 67 89
    | (?<![\w.,:+/-]) \(? 0[1-9]\d{1,3} \)? [ /] \d{3,4} [ ] \d{3,4} (?! [\w.,-]?\d )    # 020 7946 0958
    """,
    re.VERBOSE,
)
_SAID: Final = re.compile(
    r"(?i)\b(?:tel(?:efon|ephone)?|phone|mobile|fax|tél(?:éphone)?)\b[.:]{0,2} ?"
    r"(\(?0[\d ()/.-]{6,20}\d)(?!\d)"
)
_NUMBER: Final = re.compile(r"\+\d+\.\d+|\+\d{8}")
"""A signed quantity, which is no phone number."""

_MAX_DIGITS: Final = 15  # ITU-T E.164


def phones(text: str) -> Iterator[Span]:
    """Find phone numbers, by an unambiguous form or by a word before them."""
    if not _ENOUGH_DIGITS.search(text):
        return
    at = 0
    spans = [match.span() for match in _PHONES.finditer(text)] + [
        match.span(1) for match in _SAID.finditer(text)
    ]
    for start, end in sorted(spans):
        n_digits = sum(sign.isdigit() for sign in text[start:end])
        if start >= at and n_digits <= _MAX_DIGITS and not _NUMBER.fullmatch(text, start, end):
            yield start, end
            at = end


def cards(text: str) -> Iterator[Span]:
    """Find payment card numbers by the issuer's prefix, length and grouping, and by the check digit."""
    if not _ENOUGH_DIGITS.search(text):
        return
    for match in _CARD.finditer(text):
        digits = re.sub(r"\D", "", match[0])
        if _ISSUERS.fullmatch(digits) and _GROUPED.fullmatch(match[0]) and _luhn(digits):
            yield match.span()


def _luhn(digits: str) -> bool:
    total = 0
    for index, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + index % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0 and len(set(digits)) > 1


def ibans(text: str) -> Iterator[Span]:
    """Find IBANs with valid check digits; a word that follows one may look like a part of it."""
    if not _ENOUGH_DIGITS.search(text):
        return
    for match in _IBAN.finditer(text):
        start, end = match.span()
        while end - start >= 15:
            if _mod97(text[start:end]):
                yield start, end
                break
            end = text.rfind(" ", start, end)


def _mod97(iban: str) -> bool:
    plain = iban.replace(" ", "")
    if not 15 <= len(plain) <= 34:
        return False
    return int("".join(str(int(sign, 36)) for sign in plain[4:] + plain[:4])) % 97 == 1
