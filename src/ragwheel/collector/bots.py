"""Robots by their user agent.

The list is that of the package ``crawler-user-agents``, kept by its community. A robot's signals are stored
and flagged ``bot``: a list of names is no proof, and what to leave out is decided when labels are made.
"""

from __future__ import annotations

from functools import lru_cache

__all__ = ["is_bot"]

MAX_CHARS = 512


def is_bot(user_agent: str) -> bool:
    """Whether a ``User-Agent`` header is that of a known robot (or missing altogether)."""
    return _known(user_agent[:MAX_CHARS])


@lru_cache(maxsize=1024)
def _known(user_agent: str) -> bool:
    import crawleruseragents  # type: ignore[import-untyped]  # compiles 1,500 patterns when first asked

    return not user_agent or bool(crawleruseragents.is_crawler(user_agent))
