"""The known steps to improve retrieval, each with measured figures for or against it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from ragwheel.experiments.headroom import Headroom

__all__ = ["QUADRANTS", "ExperimentStep", "Level", "Quadrant", "Steps"]

Level = Literal["high", "low"]
Quadrant = Literal["do first", "plan", "fill in", "leave"]

_QUADRANTS: Final[dict[tuple[Level, Level], Quadrant]] = {
    ("high", "low"): "do first",
    ("high", "high"): "plan",
    ("low", "low"): "fill in",
    ("low", "high"): "leave",
}
#: The quadrants in the order of display.
QUADRANTS: Final = tuple(_QUADRANTS.values())
_WORTH: Final = 0.05
_TRAINABLE: Final = 1_000
_ORDERABLE: Final = 50
_PROMPTABLE: Final = 30
_PROOF: Final = 50


@dataclass(frozen=True)
class ExperimentStep:
    """A step to try.

    Attributes:
        name: the name of the step.
        measured: the measured figure, in words.
        headroom: the same figure between 0 and 1: the largest possible gain in the metric or in questions.
        effort: ``high`` if something must be trained for long, re-indexed or served.
        cost: the cost, in words.
        needs: what is still missing; empty if nothing is.
        risk: what can go wrong.
        command: the command to type.
    """

    name: str
    measured: str
    headroom: float
    effort: Level
    cost: str
    needs: str
    risk: str
    command: str

    @property
    def impact(self) -> Level:
        """``high`` from a headroom of 0.05."""
        return "high" if self.headroom >= _WORTH else "low"

    @property
    def quadrant(self) -> Quadrant:
        """The quadrant of impact and effort; what needs something else first is no low effort."""
        return _QUADRANTS[self.impact, "high" if self.needs else self.effort]


@dataclass(frozen=True)
class Steps:
    """All known steps, with the measured headroom of a store."""

    headroom: Headroom
    dataset: str
    db: str

    def all(self) -> list[ExperimentStep]:
        """Return all steps, in no particular order."""
        makers = (
            self._rerank, self._adapter, self._embedder, self._hybrid, self._capture, self._ask,
            self._signals, self._judge, self._chunks, self._fewshot,
        )  # fmt: skip
        return [make() for make in makers]

    def _rerank(self) -> ExperimentStep:
        return ExperimentStep(
            name="re-rank the captured chunks",
            measured=self._order(),
            headroom=self._gain(),
            effort="low",
            cost="a minute on a CPU; some milliseconds for every search",
            needs=self._examples(_ORDERABLE),
            risk="it learns what people did with known chunks: look at the gain for new answers on its card",
            command=f"ragwheel train reranker {self.dataset} --out models/reranker --db {self.db}",
        )

    def _adapter(self) -> ExperimentStep:
        return ExperimentStep(
            name="adapt the query embeddings",
            measured=f"{self._order()}; a linear adapter reached a quarter of what tuning the model did",
            headroom=self._gain() / 4,
            effort="low",
            cost="minutes on a laptop; no document is embedded again",
            needs=self._examples(_TRAINABLE // 5),
            risk="nothing to adapt where the retriever has no vectors",
            command=f"ragwheel train adapter {self.dataset} --out models/adapter --db {self.db}",
        )

    def _embedder(self) -> ExperimentStep:
        missed = max(1 - self.headroom.ceiling, 0.0)
        return ExperimentStep(
            name="tune the embedding model",
            measured=f"{self._order()}; {missed:.1%} of the positives were not captured",
            headroom=self._gain() + missed,
            effort="low",
            cost="minutes on a laptop, some 15 for 6,000 examples; no document is embedded again",
            needs=self._examples(_TRAINABLE),
            risk="not where an API embeds; may forget other domains: compare on one",
            command=f"ragwheel train embedder {self.dataset} --out models/embedder --db {self.db}",
        )

    def _order(self) -> str:
        return (
            f"nDCG@10 {self.headroom.ndcg:.3f} as captured, {self.headroom.ndcg_oracle:.3f} in perfect order"
        )

    def _gain(self) -> float:
        return max(self.headroom.ndcg_oracle - self.headroom.ndcg, 0.0)

    def _hybrid(self) -> ExperimentStep:
        return ExperimentStep(
            name="search words and vectors together",
            measured=f"{self.headroom.by_words:.1%} of the positives below the first five are in BM25's "
            f"first five",
            headroom=self.headroom.by_words * max(1 - self.headroom.recall, 0.0),
            effort="low",
            cost="a word index beside the vectors",
            needs="",
            risk="none to speak of where the retriever is dense; nothing to win where it is BM25 itself",
            command="ragwheel experiment new --hypothesis 'users type exact names' --change retriever=hybrid "
            "--metric recall@5 --expect +5%",
        )

    def _capture(self) -> ExperimentStep:
        return ExperimentStep(
            name="look deeper before choosing",
            measured=f"{self.headroom.depth:g} chunks captured per retrieval; {self.headroom.tail:.1%} of "
            f"the captured positives are in their last quarter",
            headroom=self.headroom.tail,
            effort="low",
            cost="one argument in the app, @ragwheel.retriever(k='k', capture_k=80); the app gets its k",
            needs="",
            risk="an approximate index may order differently with a larger k: ragwheel doctor counts it",
            command=f"ragwheel evaluate {self.dataset} --db {self.db} --base none --system captured",
        )

    def _ask(self) -> ExperimentStep:
        share = self.headroom.unanswered / self.headroom.asked if self.headroom.asked else 0.0
        return ExperimentStep(
            name="find out why questions stay without a positive",
            measured=f"{self.headroom.unanswered:,} of {self.headroom.asked:,} distinct questions have none",
            headroom=share,
            effort="high",
            cost="reading some of them; then texts that answer them, or more citations and signals",
            needs="",
            risk="people may ask what the documents do not hold",
            command=f"ragwheel grade --db {self.db}",
        )

    def _signals(self) -> ExperimentStep:
        return ExperimentStep(
            name="collect signals for more retrievals",
            measured=f"{self.headroom.signals:.1%} of the retrievals have a citation or a signal",
            headroom=1 - self.headroom.signals,
            effort="low",
            cost="a line in the prompt (cite as [1]) and a line in the page (the beacon)",
            needs="",
            risk="none",
            command=f"ragwheel status --db {self.db}",
        )

    def _judge(self) -> ExperimentStep:
        missing = max(_PROOF - self.headroom.explicit, 0)
        return ExperimentStep(
            name="judge some queries",
            measured=f"{self.headroom.explicit:,} queries have explicit judgments; about {_PROOF} are the "
            f"least that can prove a gain",
            headroom=missing / _PROOF * 0.5,
            effort="low",
            cost=f"about {max(missing, 1) * 2} minutes of somebody who knows the answers",
            needs="",
            risk="none: without it nothing below can be proved",
            command=f"ragwheel grade --db {self.db}",
        )

    def _chunks(self) -> ExperimentStep:
        return ExperimentStep(
            name="cut the documents differently",
            measured=f"{self.headroom.long:.1%} of the positives have more than the 190 words that common "
            f"embedders read",
            headroom=self.headroom.long * max(1 - self.headroom.recall, 0.0),
            effort="high",
            cost="the source documents; the whole index made again",
            needs="",
            risk="ids change: what was captured before belongs to the old chunks",
            command="ragwheel experiment new --hypothesis 'long chunks bury the answer' "
            "--change chunk_words=100,150 --metric recall@10 --expect +5%",
        )

    def _fewshot(self) -> ExperimentStep:
        return ExperimentStep(
            name="show an LLM examples from the traces",
            measured=f"{self._order()}; {self.headroom.liked:,} examples with a liked answer",
            headroom=self._gain(),
            effort="low",
            cost="a call of an LLM per query, nothing to train",
            needs=_missing(_PROMPTABLE, self.headroom.liked, " with a liked answer"),
            risk="latency and price of the calls; texts of other people's questions stand in prompts",
            command=f"ragwheel fewshot build --out examples.json --db {self.db}",
        )

    def _examples(self, need: int) -> str:
        return _missing(need, self.headroom.examples)


def _missing(need: int, have: int, which: str = "") -> str:
    """Return the number of missing examples in words; empty if none is missing."""
    if have >= need:
        return ""
    return f"{need - have:,} more {'example' if need - have == 1 else 'examples'}{which}"
