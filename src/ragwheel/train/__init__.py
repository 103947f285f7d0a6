"""From a dataset folder to a better model (``docs/training.md``)."""

from __future__ import annotations

from ragwheel.models.card import ModelFacts, read_model_card, write_model_card
from ragwheel.models.encoding import encode
from ragwheel.models.loading import load_embedder, load_reranker
from ragwheel.train.embedder import train_embedder
from ragwheel.train.features import FeatureOptions, choose_kind, train_feature_reranker
from ragwheel.train.fusion import FusionOptions, train_fusion
from ragwheel.train.options import DevFigures, EmbedderOptions, RerankerOptions, TrainedModel
from ragwheel.train.reranker import train_reranker

__all__ = [
    "DevFigures",
    "EmbedderOptions",
    "FeatureOptions",
    "FusionOptions",
    "ModelFacts",
    "RerankerOptions",
    "TrainedModel",
    "choose_kind",
    "encode",
    "load_embedder",
    "load_reranker",
    "read_model_card",
    "train_embedder",
    "train_feature_reranker",
    "train_fusion",
    "train_reranker",
    "write_model_card",
]
