"""A fast re-ranker on features: the retriever's scores, words, and experience with earlier questions."""

from __future__ import annotations

from ragwheel.deploy.features.catalogue import FEATURES, GROUPS, NAMES, Feature
from ragwheel.deploy.features.extract import CandidateChunk, features
from ragwheel.deploy.features.model import FeatureReranker, Similarity, is_feature_reranker
from ragwheel.deploy.features.tables import Tables, chunk_key

__all__ = [
    "FEATURES",
    "GROUPS",
    "NAMES",
    "CandidateChunk",
    "Feature",
    "FeatureReranker",
    "Similarity",
    "Tables",
    "chunk_key",
    "features",
    "is_feature_reranker",
]
