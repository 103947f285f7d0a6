"""Data-collection milestones (20, 30, 1,000, 6,000 examples) and the next steps towards them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ragwheel.offline.examples import ExampleCounts

__all__ = ["Milestone", "Supply", "milestones"]

# (name, which examples, how many are needed, what they make possible)
LADDER = (
    ("evaluation", "test", 20, "compare retrievers on your questions"),
    ("few-shot", "liked", 30, "examples in prompts that re-rank"),
    ("fine-tuning", "total", 1_000, "fine-tune embedder or re-ranker"),
    ("published gains", "total", 6_000, "where published runs gained 6-10 %"),
)
_MORE = {
    "test": ("a tenth of the questions is kept for testing, from ten questions on: examples come tenfold",),
    "liked": ("ask for a thumbs-up on answers: a few-shot example needs a liked answer with citations",),
    "total": (),
}
_WHICH = {"test": "in the test split", "liked": "with a liked answer", "total": ""}


@dataclass(frozen=True, slots=True)
class Milestone:
    """A milestone: ``have`` of ``need`` examples, what it makes possible, and advice if it is not reached.

    ``which`` says which examples count: those in the test split (evaluation), those with a liked answer
    (few-shot), or, where it is empty, all.
    """

    name: str
    need: int
    have: int
    unlocks: str
    advice: tuple[str, ...]
    """The cheapest steps towards it, cheapest first; empty when it is reached."""
    which: str = ""

    @property
    def purpose(self) -> str:
        """What the milestone makes possible, and which examples count if not all do."""
        return f"{self.unlocks} (examples {self.which})" if self.which else self.unlocks

    @property
    def reached(self) -> bool:
        """Whether there are enough examples."""
        return self.have >= self.need

    @property
    def missing(self) -> int:
        """The number of missing examples; 0 if the milestone is reached."""
        return max(0, self.need - self.have)


@dataclass(frozen=True, slots=True)
class Supply:
    """The counts from which examples could come."""

    retrievals: int
    turns: int
    answered: int
    citations: int
    citations_unmatched: int
    signals: int
    signals_unmatched: int
    examples: ExampleCounts
    unreadable: str = ""
    """A sentence about the retrievals whose results could not be read; empty without any."""


def milestones(supply: Supply) -> tuple[Milestone, ...]:
    """Return all milestones, with advice for those that are not reached."""
    ladder = []
    for name, which, need, unlocks in LADDER:
        have = _have(supply.examples, which)
        advice = () if have >= need else _advice(supply, have, need)
        if advice and supply.examples.total > have:
            advice = (*advice, *_MORE[which])
        ladder.append(Milestone(name, need, have, unlocks, advice, _WHICH[which]))
    return tuple(ladder)


def _have(examples: ExampleCounts, which: str) -> int:
    """Return the number of examples of a kind.

    Without exact counts, a tenth of all is taken as the test split.
    """
    if which == "test" and not examples.exact:
        return examples.total // 10
    return int(getattr(examples, which))


def _advice(supply: Supply, have: int, need: int) -> tuple[str, ...]:
    if supply.unreadable and supply.retrievals == 0:
        return (supply.unreadable,)
    if supply.retrievals == 0:
        return (
            "nothing is recorded yet: ragwheel.configure(db=...), then @ragwheel.retriever on your retriever",
        )
    advice: list[str] = [supply.unreadable] if supply.unreadable else []
    if supply.turns == 0:
        advice.append(
            "retrievals stand alone: `with ragwheel.turn(question) as turn:` ties them to the answer"
        )
    elif supply.answered == 0:
        advice.append("no answer is recorded: call turn.answer(text) inside the turn")
    elif supply.citations == 0:
        advice.append(
            "answers carry no citations: ask the LLM to cite as [1], [2]; turn.answer(text) reads them"
        )
    elif supply.citations_unmatched * 4 > supply.citations:
        advice.append(
            f"{supply.citations_unmatched:,} of {supply.citations:,} citations point at nothing retrieved: "
            "call turn.prompted(chunks) with the chunks in the order of the prompt"
        )
    if supply.signals_unmatched > supply.signals:
        advice.append(
            f"{supply.signals_unmatched:,} signals match no chunk: the view unmatched_signals says why"
        )
    elif supply.signals == 0:
        advice.append(
            'no signals yet: call ragwheel.signal(handle, "click", chunk=id) when a person opens a source'
        )
    if have:
        per_example = supply.retrievals / have
        more = math.ceil((need - have) * per_example)
        advice.append(
            f"use the app: about {_round_up(more):,} more retrievals, at {per_example:.1f} an example so far"
        )
    return tuple(advice)


def _round_up(n: int) -> int:
    """Round up to two significant digits, since this is an estimate."""
    step: int = 10 ** max(0, len(str(n)) - 2)
    return -(-n // step) * step
