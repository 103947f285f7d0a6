"""Models as folders: loading them, what they make of texts, and the card that a trained one carries.

Below everything that uses models: evaluation, training, judges, few-shot examples.
"""

from __future__ import annotations

from ragwheel.models.card import ModelFacts, read_model_card, write_model_card
from ragwheel.models.encoding import encode
from ragwheel.models.loading import load_embedder, load_reranker

__all__ = [
    "ModelFacts",
    "encode",
    "load_embedder",
    "load_reranker",
    "read_model_card",
    "write_model_card",
]
