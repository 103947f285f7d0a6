"""Learning to rank on features of the retriever's rankings: seconds on a CPU, from hundreds of questions."""

from __future__ import annotations

from ragwheel.train.features.kind import choose_kind
from ragwheel.train.features.train import FeatureOptions, train_feature_reranker

__all__ = ["FeatureOptions", "choose_kind", "train_feature_reranker"]
