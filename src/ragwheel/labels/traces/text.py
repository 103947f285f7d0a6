"""Query groups and near-copies, as the label stage uses them: see :mod:`ragwheel.words`."""

from __future__ import annotations

from ragwheel.words import KEY_CHARACTERS, jaccard, normalise, query_key, tokens, words_of

__all__ = ["KEY_CHARACTERS", "jaccard", "normalise", "query_key", "tokens", "words_of"]
