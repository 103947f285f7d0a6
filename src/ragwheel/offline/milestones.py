"""How much is enough for what, and the cheapest way to get there from here."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["Milestone", "Supply", "milestones"]

# (name, examples needed, what it makes possible)
LADDER = (
    ("evaluation", 20, "compare retrievers on your questions"),
    ("few-shot", 30, "examples in prompts that re-rank"),
    ("fine-tuning", 1_000, "fine-tune embedder or re-ranker"),
    ("published gains", 6_000, "where published runs gained 6-10 %"),
)


@dataclass(frozen=True, slots=True)
class Milestone:
    """One rung: ``have`` of ``need`` examples, what it unlocks, and what to do when short of it."""

    name: str
    need: int
    have: int
    unlocks: str
    advice: tuple[str, ...]
    """The cheapest steps towards it, cheapest first; empty when it is reached."""

    @property
    def reached(self) -> bool:
        """Whether there is enough."""
        return self.have >= self.need

    @property
    def missing(self) -> int:
        """Examples still to come; 0 when it is reached."""
        return max(0, self.need - self.have)


@dataclass(frozen=True, slots=True)
class Supply:
    """The counts that say where examples could come from."""

    retrievals: int
    turns: int
    answered: int
    citations: int
    citations_unmatched: int
    signals: int
    signals_unmatched: int
    examples: int
    unreadable: str = ""
    """A sentence about the retrievals whose results could not be read; empty without any."""


def milestones(supply: Supply) -> tuple[Milestone, ...]:
    """The ladder, with advice at every rung that is not reached."""
    return tuple(
        Milestone(
            name, need, supply.examples, unlocks, () if supply.examples >= need else _advice(supply, need)
        )
        for name, need, unlocks in LADDER
    )


def _advice(supply: Supply, need: int) -> tuple[str, ...]:
    if supply.unreadable and supply.retrievals == 0:
        return (supply.unreadable,)
    if supply.retrievals == 0:
        return (
            "nothing is recorded yet: ragwheel.configure(db=...), then @ragwheel.retriever on your retriever",
        )
    found: list[str] = [supply.unreadable] if supply.unreadable else []
    if supply.turns == 0:
        found.append(
            "retrievals stand alone: `with ragwheel.turn(question) as turn:` ties them to the answer"
        )
    elif supply.answered == 0:
        found.append("no answer is recorded: call turn.answer(text) inside the turn")
    elif supply.citations == 0:
        found.append(
            "answers carry no citations: ask the LLM to cite as [1], [2]; turn.answer(text) reads them"
        )
    elif supply.citations_unmatched * 4 > supply.citations:
        found.append(
            f"{supply.citations_unmatched:,} of {supply.citations:,} citations point at nothing retrieved: "
            "call turn.prompted(chunks) with the chunks in the order of the prompt"
        )
    if supply.signals_unmatched > supply.signals:
        found.append(
            f"{supply.signals_unmatched:,} signals match no chunk: the view unmatched_signals says why"
        )
    elif supply.signals == 0:
        found.append(
            'no signals yet: call ragwheel.signal(handle, "click", chunk=id) when a person opens a source'
        )
    if supply.examples:
        per_example = supply.retrievals / supply.examples
        more = math.ceil((need - supply.examples) * per_example)
        found.append(
            f"use the app: about {_round_up(more):,} more retrievals, at {per_example:.1f} an example so far"
        )
    return tuple(found)


def _round_up(n: int) -> int:
    """Two significant digits, upwards: an estimate should not look like a count."""
    step: int = 10 ** max(0, len(str(n)) - 2)
    return -(-n // step) * step
