"""Keys and access tokens, recognised by the prefixes that their issuers use."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

__all__ = ["find"]

Span = tuple[int, int]

_TOKENS: Final[tuple[tuple[str, str], ...]] = (  # a substring to look for first, and the whole pattern
    ("AKIA", r"AKIA[A-Z2-7]{16}"),  # AWS access keys
    ("ASIA", r"ASIA[A-Z2-7]{16}"),
    ("ghp_", r"ghp_[A-Za-z0-9]{36,251}"),  # GitHub
    ("gho_", r"gho_[A-Za-z0-9]{36,251}"),
    ("ghu_", r"ghu_[A-Za-z0-9]{36,251}"),
    ("ghs_", r"ghs_[A-Za-z0-9]{36,251}"),
    ("ghr_", r"ghr_[A-Za-z0-9]{36,251}"),
    ("github_pat_", r"github_pat_\w{22,255}"),
    ("glpat-", r"glpat-[\w-]{20,64}"),  # GitLab
    ("sk-", r"sk-[\w-]{20,255}"),  # OpenAI, Anthropic
    ("xox", r"xox[abeoprs]-[A-Za-z0-9-]{10,255}"),  # Slack
    ("xapp-", r"xapp-[A-Za-z0-9-]{10,255}"),
    ("hooks.slack.com/services/", r"hooks\.slack\.com/services/[A-Za-z0-9/]{20,100}"),
    ("AIza", r"AIza[\w-]{35}"),  # Google
    ("ya29.", r"ya29\.[\w-]{20,2000}"),
    ("GOCSPX-", r"GOCSPX-[\w-]{28}"),
    ("_live_", r"[sr]k_live_[A-Za-z0-9]{16,255}"),  # Stripe
    ("_test_", r"[sr]k_test_[A-Za-z0-9]{16,255}"),
    ("hf_", r"hf_[A-Za-z0-9]{30,64}"),  # Hugging Face
    ("npm_", r"npm_[A-Za-z0-9]{36}"),
    ("pypi-AgE", r"pypi-AgE[\w-]{50,2000}"),
    ("SG.", r"SG\.[\w-]{16,32}\.[\w-]{32,64}"),  # SendGrid
    ("eyJ", r"eyJ[\w-]{8,8000}\.eyJ[\w-]{8,8000}\.[\w-]{0,8000}"),  # JSON web tokens (RFC 7519)
)
_PREFIXES: Final = tuple(prefix for prefix, _ in _TOKENS)
_TOKEN: Final = re.compile(rf"(?<![A-Za-z0-9_-])(?:{'|'.join(form for _, form in _TOKENS)})(?![A-Za-z0-9_])")

_SAID: Final = re.compile(
    r"(?i)(?:secret_?access_?key[\"']?\s{0,3}[=:]\s{0,3}[\"']?|\bbearer\s)([\w.~+/-]{20,2000}={0,2})"
)
_IN_URL: Final = re.compile(r"(?<=://)[^\s/:@]{0,256}:[^\s/@]{1,256}(?=@)")  # RFC 3986, userinfo
_KEY_BEGINS: Final = re.compile(r"-----BEGIN (?:[A-Z0-9]{1,20} ){0,4}PRIVATE KEY(?: BLOCK)?-----")
_KEY_ENDS: Final = re.compile(r"-----END (?:[A-Z0-9]{1,20} ){0,4}PRIVATE KEY(?: BLOCK)?-----")
_KEY_BODY: Final = re.compile(r"[A-Za-z0-9+/=\s\\]*")


def find(text: str) -> Iterator[Span]:
    """Find keys, tokens and passwords in URLs; overlapping matches are merged."""
    spans = sorted(_found(text))
    at = 0
    while at < len(spans):
        start, end = spans[at]
        at += 1
        while at < len(spans) and spans[at][0] <= end:
            end = max(end, spans[at][1])
            at += 1
        yield start, end


def _found(text: str) -> Iterator[Span]:
    if "-----BEGIN " in text:
        yield from _private_keys(text)
    if any(prefix in text for prefix in _PREFIXES):
        yield from (each.span() for each in _TOKEN.finditer(text))
    lowered = text.lower()
    if "bearer" in lowered or "secret" in lowered:
        yield from (each.span(1) for each in _SAID.finditer(text))
    if "://" in text and "@" in text:
        yield from (each.span() for each in _IN_URL.finditer(text))


def _private_keys(text: str) -> Iterator[Span]:
    """Find private keys from BEGIN to END, or up to the last line that looks like a key if END is missing."""
    at, has_end = 0, True
    while begins := _KEY_BEGINS.search(text, at):
        ends = _KEY_ENDS.search(text, begins.end()) if has_end else None
        has_end = ends is not None
        body = _KEY_BODY.match(text, begins.end())
        at = ends.end() if ends is not None else body.end() if body is not None else begins.end()
        yield begins.start(), at
