"""Who may use the page: a token on loopback, a password elsewhere; and from where requests may come."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections import defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Final

__all__ = ["COOKIE", "ReviewAccess", "is_loopback"]

COOKIE: Final = "ragwheel_review"
_LASTS_S: Final = 30 * 24 * 3600
_TRIES: Final = 5
_TRIES_WITHIN_S: Final = 60.0


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine's own."""
    try:
        return host == "localhost" or ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


@dataclass
class ReviewAccess:
    """Checks tokens, passwords, cookies and origins.

    Args:
        secret: what cookies and the token are signed with; the same secret keeps them valid over a restart.
        password: asked for by a form; None: the token in the URL is asked for.
        loopback: listen to requests for this machine's own names only, against DNS rebinding.
    """

    secret: bytes
    password: str | None = None
    loopback: bool = True
    _failures: defaultdict[str, deque[float]] = field(default_factory=lambda: defaultdict(deque))

    @property
    def token(self) -> str:
        """The token of the URL."""
        return self._sign("token")[:32]

    def is_token(self, token: str) -> bool:
        """Whether a URL's token lets in."""
        return self.password is None and hmac.compare_digest(token.encode(), self.token.encode())

    def is_password(self, password: str, address: str) -> bool | None:
        """Whether a password is right; None after too many wrong ones from an address within a minute."""
        failures, now = self._failures[address], time.monotonic()
        while failures and failures[0] < now - _TRIES_WITHIN_S:
            failures.popleft()
        if len(failures) >= _TRIES:
            return None
        if self.password is not None and hmac.compare_digest(password.encode(), self.password.encode()):
            del self._failures[address]
            return True
        failures.append(now)
        return False

    def cookie(self) -> str:
        """A cookie that lets in for a month."""
        until = str(int(time.time()) + _LASTS_S)
        return f"{until}.{self._sign(until)}"

    def is_cookie(self, cookie: str | None) -> bool:
        """Whether a cookie lets in."""
        until, _, signature = (cookie or "").partition(".")
        if not (until.isascii() and until.isdigit() and len(until) < 12) or int(until) < time.time():
            return False
        return hmac.compare_digest(signature.encode(), self._sign(until).encode())

    def is_host(self, host: str) -> bool:
        """Whether the ``Host`` header is one that the page is served under."""
        name = host.partition("]")[0] + "]" if host.startswith("[") else host.partition(":")[0]
        return not self.loopback or is_loopback(name)

    def is_same_origin(self, headers: Mapping[str, str]) -> bool:
        """Whether a request that changes something comes from a page of this server."""
        origin = headers.get("origin", "")
        scheme, _, authority = origin.partition("://")
        return scheme in {"http", "https"} and authority == headers.get("host")

    def _sign(self, text: str) -> str:
        # the password is part of what is signed: another password ends all sessions
        message = f"review\x00{self.password or ''}\x00{text}".encode()
        return hmac.new(self.secret, message, hashlib.sha256).hexdigest()
