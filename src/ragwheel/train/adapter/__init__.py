"""Linear adapters on frozen embeddings: minutes instead of hours, and no document is indexed again.

::

    from ragwheel.train.adapter import AdapterOptions, fit_adapter, train_adapter

    train_adapter("dataset", "adapter", embed="minilm")                 # from a built dataset
    fit_adapter(query_vectors, positive_vectors, negative_vectors)      # from any vectors
"""

from __future__ import annotations

from ragwheel.train.adapter.dataset import TrainedAdapter, train_adapter
from ragwheel.train.adapter.embedding import EmbeddingEndpoint
from ragwheel.train.adapter.fit import AdapterFit, SegmentFit, fit_adapter
from ragwheel.train.adapter.options import AdapterOptions

__all__ = [
    "AdapterFit",
    "AdapterOptions",
    "EmbeddingEndpoint",
    "SegmentFit",
    "TrainedAdapter",
    "fit_adapter",
    "train_adapter",
]
