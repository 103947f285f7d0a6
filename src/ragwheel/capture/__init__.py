"""Capture: decorators, turns and signals, from the host's objects to records."""

from __future__ import annotations

__all__: list[str] = []
