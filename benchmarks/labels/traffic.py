"""Sessions of simulated people against a retriever that is really wrapped, into a real store."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import ragwheel
from labels.users import PROMPTED, SHOWN, Act, Citing, Clicking, Lazy
from labels.worlds import World

__all__ = ["TRAFFIC", "Traffic", "drive"]

K: Final = 20
PEOPLE: Final = 300


@dataclass(frozen=True)
class Traffic:
    """Who is there, how often each question is asked, and how many chunks of a ranking are recorded."""

    says: str
    asked: int
    clicks: bool = False
    cites: bool = False
    lazy: bool = False
    captured: int = K


TRAFFIC: Final[Mapping[str, Traffic]] = {
    "clicks": Traffic("position-biased clicks with trust bias", 20, clicks=True),
    "citations": Traffic("a citing LLM that loses the middle, 20 % wrong", 20, cites=True),
    "explicit": Traffic("lazy explicit feedback, 2 %", 100, lazy=True),
    "together": Traffic("all three", 20, clicks=True, cites=True, lazy=True),
    "little": Traffic("all three, each question three times", 3, clicks=True, cites=True, lazy=True),
}


def drive(db: Path, world: World, traffic: Traffic, seed: int) -> int:
    """Ask every query ``traffic.asked`` times in sessions of one to three turns; returns the number of turns.

    One session in eight begins with a hasty wording, and is reformulated where it found nothing relevant.
    """
    rng = random.Random(seed)
    app = _App(world, traffic, rng)
    ragwheel.configure(db, capture_k=traffic.captured, durability="process")
    try:
        asked = [query for query in world.queries for _ in range(traffic.asked)]
        rng.shuffle(asked)
        session = 0
        while asked:
            session += 1
            person = f"p{rng.randrange(PEOPLE)}"
            for _ in range(min(rng.randint(1, 3), len(asked))):
                app.session(f"s{seed}-{session}", person, asked.pop())
        if not ragwheel.flush(120):
            raise RuntimeError("The store did not take everything within two minutes.")
    finally:
        ragwheel.shutdown()
    return app.turns


class _App:
    """A RAG app: search, answer with citations, and people who read the results."""

    def __init__(self, world: World, traffic: Traffic, rng: random.Random) -> None:
        self.world, self.traffic, self.rng = world, traffic, rng
        self.turns = 0
        self._clicking, self._citing, self._lazy = Clicking(), Citing(), Lazy()

        @ragwheel.retriever(name="search", source="kb", k="k", check_overfetch=0)
        def search(query: str, k: int = SHOWN) -> list[dict[str, object]]:
            """The ranking of the collection, a little different every time."""
            ranked = list(world.rankings[query])
            scores = world.scores.get(query, {})
            for place in range(len(ranked) - 1):
                if rng.random() < 0.2:
                    ranked[place], ranked[place + 1] = ranked[place + 1], ranked[place]
            return [
                {"id": doc, "text": world.texts[doc], "score": scores.get(doc, 1.0 / (place + 1))}
                | ({"metadata": world.facts[doc]} if doc in world.facts else {})
                for place, doc in enumerate(ranked[:k])
            ]

        self._search = search

    def session(self, session: str, person: str, query: str) -> None:
        """One need: asked well, or first hastily and then well."""
        if self.traffic.clicks and self.rng.random() < 0.125:
            hasty, found = self._turn(session, person, query, self.world.short[query])
            if not found:
                handle, _ = self._turn(session, person, query, query)
                ragwheel.signal(hasty, "reformulate", query=query, other=handle, subject=person)
        else:
            self._turn(session, person, query, query)

    def _turn(self, session: str, person: str, query: str, wording: str) -> tuple[str, bool]:
        """The turn's handle, and whether anything relevant was shown."""
        judged = self.world.grades[query]
        with ragwheel.turn(wording, session_id=session, user_id=person) as turn:
            results = self._search(wording, k=SHOWN)
            grades = [judged.get(str(chunk["id"]), 0) for chunk in results]
            turn.prompted(results[:PROMPTED])
            turn.shown(results)
            cited = self._citing.cites(grades[:PROMPTED], self.rng) if self.traffic.cites else []
            turn.answer("So it is. " + " ".join(f"[{place}]" for place in cited))
        acts: list[Act] = []
        if self.traffic.clicks:
            acts += self._clicking.acts(grades, self.rng)
        if self.traffic.lazy:
            acts += self._lazy.acts(grades, self.rng)
        for act in acts:
            ragwheel.signal(
                turn.retrievals[-1].handle, act.kind, rank=act.rank, value=act.value, subject=person
            )
        self.turns += 1
        return turn.handle, any(grades)
