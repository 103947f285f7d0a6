"""Trace and span ids from a generator of our own.

OpenTelemetry's default generator draws from the ``random`` module, which an app that calls
``random.seed(42)`` at start makes give the same ids in every process. Ours is seeded from the
operating system and again in every forked child.
"""

from __future__ import annotations

import os
import random

__all__ = ["new_span_id", "new_trace_id"]

_random = random.Random()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_random.seed)


def new_span_id() -> bytes:
    """Eight random bytes, never all zero (OpenTelemetry's *invalid* id)."""
    return (_random.getrandbits(64) or 1).to_bytes(8, "big")


def new_trace_id() -> bytes:
    """Sixteen random bytes, never all zero."""
    return (_random.getrandbits(128) or 1).to_bytes(16, "big")
