"""Reading what the host app's objects hold, whatever they are, without changing or trusting them."""

from __future__ import annotations

__all__: list[str] = []
