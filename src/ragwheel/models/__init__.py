"""Models as folders: loading, encoding texts, and the model card of a trained model.

Evaluation, training, judges and few-shot examples build on this package.
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
