"""How an adapter is trained; the defaults are what docs/adapters.md measured as best."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ragwheel.errors import ConfigurationError

if TYPE_CHECKING:
    from ragwheel.models.loading import Prompts

__all__ = ["MIN_DEV_QUERIES", "MIN_QUERIES", "AdapterOptions"]

MIN_QUERIES = 20
"""Fewer distinct training queries than this teach noise."""
MIN_DEV_QUERIES = 10
"""Fewer distinct dev queries than this cannot tell a better adapter from a worse one."""


@dataclass(frozen=True, slots=True)
class AdapterOptions:
    """Options of :func:`ragwheel.train.adapter.fit_adapter`.

    Attributes:
        method: ``contrastive`` starts from the best closed form and refines it; ``ridge`` and
            ``procrustes`` stop there (seconds, no torch).
        side: ``query`` adapts queries only; ``both`` trains one map for queries and documents, saved as a
            SentenceTransformer whose documents have to be indexed again.
        segments: one adapter per query type: a number of clusters of query vectors, ``"auto"`` (2 to 6
            by the number of queries), ``"column"`` (the names given with the rows), or None: one for all.
        gate: share of training queries that the router would hand to the base model: queries further
            from all training queries than these are not adapted. 0 adapts every query.
        metric: what is reported of dev, and chosen by where no exposures are given: ``ndcg@10`` or
            ``mrr@10``.
        epochs: at most this many passes; training stops when nothing has improved for ``patience``.
        batch_size: queries per step.
        learning_rate: of Adam.
        temperature: of the softmax over cosines.
        pull: strength of the pull towards identity (weight of ``|D|²/d`` in the loss).
        random_negatives: documents of the training set that every batch is contrasted with.
        rank: of the refined part; 0: full.
        dev_share: of the queries that are held out, where fewer than ten are marked as dev.
        labels: ``model``: what the label model believes of every exposed chunk, where the database is named;
            ``dataset``: the rows of the dataset alone.
        query_prompt, document_prompt: what is put before questions and chunks, instead of the base model's
            own prompts. The index must have been made with the same one.
        seed: of every draw.
    """

    method: Literal["contrastive", "ridge", "procrustes"] = "contrastive"
    side: Literal["query", "both"] = "query"
    segments: int | Literal["auto", "column"] | None = None
    gate: float = 0.0
    metric: Literal["ndcg@10", "mrr@10"] = "ndcg@10"
    epochs: int = 40
    patience: int = 5
    batch_size: int = 128
    learning_rate: float = 3e-4
    temperature: float = 0.05
    pull: float = 1.0
    random_negatives: int = 1024
    rank: int = 0
    dev_share: float = 0.25
    labels: Literal["model", "dataset"] = "model"
    query_prompt: str | None = None
    document_prompt: str | None = None
    seed: int = 0

    @property
    def prompts(self) -> Prompts | None:
        """The prompts that were asked for, by role."""
        prompts: dict[Literal["query", "document"], str] = {}
        if self.query_prompt is not None:
            prompts["query"] = self.query_prompt
        if self.document_prompt is not None:
            prompts["document"] = self.document_prompt
        return prompts or None

    def __post_init__(self) -> None:
        """Raise ConfigurationError for a value that cannot be used."""
        for name, allowed in (
            ("method", ("contrastive", "ridge", "procrustes")),
            ("side", ("query", "both")),
            ("metric", ("ndcg@10", "mrr@10")),
            ("labels", ("model", "dataset")),
        ):
            if getattr(self, name) not in allowed:
                raise self._wrong(name, ", ".join(allowed))
        for name in ("epochs", "patience", "batch_size"):
            if not getattr(self, name) >= 1:
                raise self._wrong(name, "a whole number from 1")
        for name in ("learning_rate", "temperature"):
            if not getattr(self, name) > 0:
                raise self._wrong(name, "a number above 0")
        for name in ("pull", "random_negatives", "rank"):
            if not getattr(self, name) >= 0:
                raise self._wrong(name, "0 or more")
        if not 0 <= self.gate < 1:
            raise self._wrong("gate", "from 0 to below 1")
        if not 0 < self.dev_share <= 0.5:
            raise self._wrong("dev_share", "above 0, at most 0.5")
        if not (
            self.segments in {None, "auto", "column"} or (type(self.segments) is int and self.segments >= 2)
        ):
            raise self._wrong("segments", "None, 'auto', 'column' or a whole number from 2")

    def _wrong(self, name: str, allowed: str) -> ConfigurationError:
        return ConfigurationError(f"AdapterOptions({name}={getattr(self, name)!r}): allowed: {allowed}")
