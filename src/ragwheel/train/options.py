"""What can be asked of a training, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Literal

from ragwheel.errors import ConfigurationError
from ragwheel.models.card import ModelFacts
from ragwheel.models.loading import MINILM, Prompts

__all__ = [
    "EMBEDDER_LOSSES",
    "RERANKER_LOSSES",
    "DevFigures",
    "EmbedderOptions",
    "RerankerOptions",
    "TrainedModel",
]

#: ``mnrl`` and ``infonce`` are two names of one loss; ``auto`` is it, with one negative a relevant chunk.
EMBEDDER_LOSSES: Final = ("auto", "infonce", "mnrl", "gist", "triplet", "marginmse")
RERANKER_LOSSES: Final = ("auto", "bce", "lambda")
_NEED_BOTH: Final = ("gist", "triplet", "marginmse")
_CONFIDENCE: Final[Mapping[str, Literal["weight", "resample"]]] = {"query": "weight", "both": "resample"}
_PRECISIONS: Final = ("auto", "float32", "bfloat16")

Precision = Literal["auto", "float32", "bfloat16"]


@dataclass(frozen=True)
class EmbedderOptions:
    """How to train an embedding model.

    Args:
        base: a folder, a hub id or ``minilm``.
        query_prompt, document_prompt: what is put before questions and chunks, instead of the base's own
            prompts; the trained model keeps them. An index must have been made with the same one.
        side: ``query`` trains what embeds questions; documents keep their vectors, so the index stays, and
            every known chunk is a negative. ``both`` trains all of the model: documents are indexed again.
            ``auto``: query, unless ``loss`` or ``matryoshka`` need both.
        loss: of :data:`EMBEDDER_LOSSES`; ``query`` takes ``auto``, ``infonce`` or ``mnrl``.
        epochs: passes over the training rows; None: 8 for ``query``, 3 for ``both``.
        learning_rate: at its highest, after a warm-up of a tenth of the steps; then falling to zero;
            None: 3e-5 for ``query``, 2e-5 for ``both``.
        known_chunks: how many chunks stand against each question of ``query``: all that training rows name,
            however many, and others of the store (if it is given).
        batch_size: rows a step and device; the other rows' chunks are negatives too. None: 32 on a CPU, 128
            elsewhere, and fewer where that would make less than eight steps.
        mini_batch_size: rows in memory at once on a GPU; halved when memory runs out.
        max_tokens: longer texts are cut; None: 128 on a CPU, what the model takes elsewhere.
        matryoshka: dimensions that prefixes of the vectors shall be good at, such as (384, 192, 96).
        lora_rank: train low-rank additions of this rank instead of all weights; 0: all weights.
        merge_with_base: how much of the tuned weights the result holds (0.5: the mean of both, against
            forgetting); None: the share that does best on ``dev``.
        confidence: ``weight`` weights the loss of each row by its confidence, ``resample`` draws rows in
            proportion to it; ``auto``: weight for ``query``, resample for ``both``.
        labels: of ``query``: ``model`` trains on every chunk that was exposed and is believed to be relevant,
            where the database is named; ``dataset`` on the relevant pairs of the dataset alone.
        evaluations: how often ``dev`` is looked at during training.
        dev_documents: the most chunks that are searched in such a look; None: 1,000, for ``query`` all.
        min_examples: training questions below which nothing is trained.
        without_dev: train where there is no ``dev`` split, and take the last step instead of the best.
        checkpoint_every: steps from one checkpoint to the next; None: a twentieth of the training.
        seed: of the order of rows, of dropout, of every draw.
        device: as torch names it; None: the GPU if there is one.
        precision: ``auto`` is bfloat16 where the machine is fast at it.

    Raises:
        ConfigurationError: a value that cannot be used.
    """

    base: str = MINILM
    query_prompt: str | None = None
    document_prompt: str | None = None
    side: Literal["auto", "query", "both"] = "auto"
    loss: str = "auto"
    epochs: float | None = None
    learning_rate: float | None = None
    known_chunks: int = 20_000
    batch_size: int | None = None
    mini_batch_size: int = 32
    max_tokens: int | None = None
    matryoshka: tuple[int, ...] = ()
    lora_rank: int = 0
    merge_with_base: float | None = None
    confidence: Literal["auto", "weight", "resample", "ignore"] = "auto"
    labels: Literal["model", "dataset"] = "model"
    evaluations: int = 4
    dev_documents: int | None = None
    min_examples: int = 100
    without_dev: bool = False
    checkpoint_every: int | None = None
    seed: int = 0
    device: str | None = None
    precision: Precision = "auto"

    @property
    def prompts(self) -> Prompts:
        """The prompts that were asked for, by role."""
        prompts: dict[Literal["query", "document"], str] = {}
        if self.query_prompt is not None:
            prompts["query"] = self.query_prompt
        if self.document_prompt is not None:
            prompts["document"] = self.document_prompt
        return prompts

    @property
    def _trained_side(self) -> Literal["query", "both"]:
        if self.side != "auto":
            return self.side
        return "both" if self.loss in _NEED_BOTH or self.matryoshka else "query"

    def decided(self) -> EmbedderOptions:
        """The same with ``auto`` and None replaced where that depends on the other options alone."""
        side = self._trained_side
        epochs, rate, documents = (8.0, 3e-5, self.known_chunks) if side == "query" else (3.0, 2e-5, 1000)
        return replace(
            self,
            side=side,
            epochs=self.epochs or epochs,
            learning_rate=self.learning_rate or rate,
            dev_documents=self.dev_documents or documents,
            confidence=self.confidence if self.confidence != "auto" else _CONFIDENCE[side],
        )

    def __post_init__(self) -> None:
        _check_common(self, EMBEDDER_LOSSES)
        for name, got, allowed in (
            ("side", self.side, ("auto", "query", "both")),
            ("labels", self.labels, ("model", "dataset")),
            ("confidence", self.confidence, ("auto", "weight", "resample", "ignore")),
        ):
            if got not in allowed:
                raise ConfigurationError(f"{name} is {got!r}; allowed: {', '.join(allowed)}.")
        if self.confidence == "weight" and self._trained_side == "both":
            raise ConfigurationError(
                "confidence is 'weight', which the losses of side 'both' do not take. "
                "Allowed: resample, ignore; side query."
            )
        if self.side == "query" and (self.loss in _NEED_BOTH or self.matryoshka):
            what = "matryoshka" if self.matryoshka else f"the loss {self.loss}"
            raise ConfigurationError(
                f"side is 'query', but {what} trains documents, too. "
                "Allowed: side auto or both; the loss infonce."
            )
        if self.merge_with_base is not None and not 0 < self.merge_with_base <= 1:
            raise ConfigurationError(
                f"merge_with_base is {self.merge_with_base}; allowed: above 0, to 1 (tuned alone)."
            )
        if self.matryoshka and (min(self.matryoshka) < 1 or len(set(self.matryoshka)) < len(self.matryoshka)):
            raise ConfigurationError(f"matryoshka is {self.matryoshka}; allowed: different numbers above 0.")
        if self.matryoshka and self.loss == "gist":
            raise ConfigurationError(
                "matryoshka with the loss gist is not possible. Allowed: infonce, triplet."
            )
        if not 0 <= self.lora_rank <= 512:
            raise ConfigurationError(f"lora_rank is {self.lora_rank}; allowed: 0 (all weights) to 512.")


@dataclass(frozen=True)
class RerankerOptions:
    """How to train a re-ranker; what is not named here is as in :class:`EmbedderOptions`.

    Args:
        loss: ``bce`` on graded pairs, ``lambda`` on lists; ``auto`` takes lists where most have two grades.
        positive_weight: of a relevant pair in ``bce``; None: irrelevant pairs to a relevant one, 1 to 10.
        batch_size: pairs a step and device; None: as above, and for ``lambda`` an eighth as many lists.
    """

    base: str = MINILM
    loss: str = "auto"
    epochs: float = 1.0
    learning_rate: float = 4e-5
    batch_size: int | None = None
    max_tokens: int | None = None
    positive_weight: float | None = None
    confidence: Literal["resample", "ignore"] = "resample"
    evaluations: int = 4
    dev_documents: int = 1000
    min_examples: int = 100
    without_dev: bool = False
    checkpoint_every: int | None = None
    seed: int = 0
    device: str | None = None
    precision: Precision = "auto"

    def __post_init__(self) -> None:
        _check_common(self, RERANKER_LOSSES)
        if self.confidence not in ("resample", "ignore"):
            raise ConfigurationError(f"confidence is {self.confidence!r}; allowed: resample, ignore.")
        if self.positive_weight is not None and not 0 < self.positive_weight <= 1000:
            raise ConfigurationError(f"positive_weight is {self.positive_weight}; allowed: above 0, to 1000.")


def _check_common(options: EmbedderOptions | RerankerOptions, losses: tuple[str, ...]) -> None:
    for name, got, allowed in (
        ("loss", options.loss, losses),
        ("precision", options.precision, _PRECISIONS),
    ):
        if got not in allowed:
            raise ConfigurationError(f"{name} is {got!r}; allowed: {', '.join(allowed)}.")
    for name, number, least in (
        ("epochs", options.epochs, 0.001),
        ("learning_rate", options.learning_rate, 1e-9),
        ("batch_size", options.batch_size, 2),
        ("evaluations", options.evaluations, 1),
        ("dev_documents", options.dev_documents, 10),
        ("min_examples", options.min_examples, 1),
        ("max_tokens", options.max_tokens, 8),
        ("checkpoint_every", options.checkpoint_every, 1),
        ("known_chunks", getattr(options, "known_chunks", None), 1),
    ):
        if number is not None and not number >= least:
            raise ConfigurationError(f"{name} is {number}; allowed: {least:g} or more.")


@dataclass(frozen=True)
class DevFigures:
    """nDCG@10 on the ``dev`` questions, before and after; the interval is of the paired difference, 95 %."""

    queries: int
    base: float
    tuned: float
    low: float
    high: float

    @property
    def gain(self) -> float:
        """Tuned minus base."""
        return self.tuned - self.base


@dataclass(frozen=True)
class TrainedModel:
    """What a training did.

    ``recipe`` names the loss, ``why`` the reasons for what was chosen; ``dev`` is None where there is no such
    split; ``figures`` are steps, seconds and speeds. ``facts`` stand in the folder's ``ragwheel-model.json``.
    """

    folder: Path
    facts: ModelFacts
    recipe: str
    why: tuple[str, ...]
    dev: DevFigures | None
    notes: tuple[str, ...] = ()
    figures: Mapping[str, float] = field(default_factory=dict)

    @property
    def recommended(self) -> bool:
        """False where the interval on ``dev`` lies wholly below the base."""
        return self.facts.recommended
