"""For tests: stores written by hand or generated with known truth, and the contract of integrations."""

from __future__ import annotations

from ragwheel.testing.handmade import Asked, TraceStore
from ragwheel.testing.harness import CORPUS, QUESTION, ContractChunk, IntegrationHarness
from ragwheel.testing.integration import FEATURES, IntegrationContract
from ragwheel.testing.liars import ATTACKS, Liars
from ragwheel.testing.traces import TraceSpec, World, synthetic_world, write_traces

__all__ = [
    "ATTACKS",
    "CORPUS",
    "FEATURES",
    "QUESTION",
    "Asked",
    "ContractChunk",
    "IntegrationContract",
    "IntegrationHarness",
    "Liars",
    "TraceSpec",
    "TraceStore",
    "World",
    "synthetic_world",
    "write_traces",
]
