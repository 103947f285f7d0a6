"""Sessions: which question of a session asks again for what an earlier one asked for."""

from __future__ import annotations

from ragwheel.labels.evidence.sessions.closeness import Closeness, Embed, Scorer, rarity

__all__ = ["Closeness", "Embed", "Scorer", "rarity"]
