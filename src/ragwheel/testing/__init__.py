"""Traffic that nobody had: hand-made stores for tests, and generated ones whose truth is known."""

from __future__ import annotations

from ragwheel.testing.handmade import Asked, TraceStore
from ragwheel.testing.liars import ATTACKS, Liars
from ragwheel.testing.traces import TraceSpec, World, synthetic_world, write_traces

__all__ = ["ATTACKS", "Asked", "Liars", "TraceSpec", "TraceStore", "World", "synthetic_world", "write_traces"]
