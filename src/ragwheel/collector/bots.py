"""Detection of robots by their user agent.

The patterns are those of the package ``crawler-user-agents``. A robot's signals are stored and flagged
``bot``. The labels decide whether to leave them out, since a user agent is no proof.
"""

from __future__ import annotations

from functools import lru_cache

__all__ = ["is_bot"]

MAX_CHARS = 512


def is_bot(user_agent: str) -> bool:
    """Return whether a ``User-Agent`` header is missing or is that of a known robot."""
    return _known(user_agent[:MAX_CHARS])


@lru_cache(maxsize=1024)
def _known(user_agent: str) -> bool:
    import crawleruseragents  # type: ignore[import-untyped]  # compiles 1,500 patterns when first asked

    return not user_agent or bool(crawleruseragents.is_crawler(user_agent))
