"""The person at the keyboard: what they type, and what it means to the wheel.

A question opens a turn and stays open while the person looks through the results; the next
question, or leaving, closes it. Opening a passage is a ``click`` (and ``dwell``, where a clock means
something), citing passages is the answer of the turn.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import ragwheel

if TYPE_CHECKING:
    from langchain_core.documents import Document
    from langchain_core.retrievers import BaseRetriever

__all__ = ["Desk", "DeskError", "VisitorCommand", "parse_command"]

Verb = Literal["ask", "open", "cite", "delete", "more", "up", "down", "quit", "help", "nothing"]

LETTERS: dict[str, Verb] = {"o": "open", "c": "cite", "d": "delete", "m": "more", "+": "up", "-": "down"}
ONE_RANK = frozenset({"open", "more"})


class DeskError(ValueError):
    """A command that cannot be done; the text says what to type instead."""


@dataclass(frozen=True, slots=True)
class VisitorCommand:
    """What one line means: ``ranks`` for the commands about passages, ``text`` for a question."""

    verb: Verb
    ranks: tuple[int, ...] = ()
    text: str = ""


def parse_command(line: str) -> VisitorCommand:
    """Read one line: ``o 3``, ``c 1 3``, ``d 2``, ``m 2``, ``+``, ``- 2``, ``q``, ``?``, else a question.

    Raises :class:`DeskError` for a command whose numbers are missing.
    """
    text = line.strip()
    if text.lower() in ("q", "quit", "exit"):
        return VisitorCommand("quit")
    if text.lower() in ("?", "h", "help"):
        return VisitorCommand("help")
    if not text:
        return VisitorCommand("nothing")
    match = re.fullmatch(r"([ocdm+-])\s*((?:\d+[\s,]*)*)", text, re.IGNORECASE)
    if not match:
        return VisitorCommand("ask", text=text)
    verb = LETTERS[match[1].lower()]
    ranks = tuple(dict.fromkeys(int(digits) for digits in re.findall(r"\d+", match[2])))
    if not ranks and verb not in ("up", "down"):
        raise DeskError(f"{text!r} needs the number of a passage: {match[1]} 1")
    if verb in ONE_RANK and len(ranks) > 1:
        raise DeskError(f"{match[1]!r} takes one number at a time: {match[1]} {ranks[0]}")
    return VisitorCommand(verb, ranks)


@dataclass(slots=True)
class Desk:
    """One person's visit. Call :meth:`ask`, then :meth:`do` for each command, then :meth:`close`.

    ``timed``: whether the time between two lines is a person's reading time (a terminal) or not (a pipe).
    """

    retriever: BaseRetriever
    session_id: str
    timed: bool
    clock: Callable[[], float] = time.monotonic
    documents: list[Document] = field(default_factory=list)
    asked: int = 0
    _turn: ragwheel.Turn | None = None
    _cited: list[int] = field(default_factory=list)
    _opened: tuple[int, float] | None = None

    def ask(self, question: str) -> list[Document]:
        """Close the turn before, open one for ``question``, and return the passages found."""
        self.close()
        self._turn = ragwheel.turn(query=question, session_id=self.session_id, user_id="you")
        self._turn.__enter__()
        self.documents = self.retriever.invoke(question)
        self._turn.shown(self.documents)
        self.asked += 1
        return self.documents

    def do(self, command: VisitorCommand) -> list[Document]:
        """Record a command about passages; returns those it is about. Raises :class:`DeskError`."""
        self.leave_opened()
        if self._turn is None:
            raise DeskError("ask a question first: type it and press Enter")
        about = [self._document(rank) for rank in command.ranks]
        if command.verb == "cite":
            self._cited += [rank for rank in command.ranks if rank not in self._cited]
        elif command.verb in ("up", "down"):
            kind = f"thumbs_{command.verb}"
            for rank in command.ranks:
                self._signal(kind, rank)
            if not command.ranks:
                ragwheel.signal(self._turn.handle, kind)
        else:
            kind = {"open": "click", "delete": "delete", "more": "more_like_this"}[command.verb]
            for rank in command.ranks:
                self._signal(kind, rank)
        if command.verb == "open":
            self._opened = (command.ranks[0], self.clock())
        return about

    def leave_opened(self) -> float | None:
        """The person looks away from the opened passage: record how long it was open, in seconds."""
        if self._opened is None:
            return None
        rank, since = self._opened
        self._opened = None
        if not self.timed:
            return None
        dwell_s = self.clock() - since
        self._signal("dwell", rank, value=dwell_s)
        return dwell_s

    def close(self) -> None:
        """Close the open turn, with an answer when passages were cited."""
        self.leave_opened()
        if self._turn is None:
            return
        turn, self._turn = self._turn, None
        if self._cited:
            turn.prompted(self.documents)
            turn.answer("The answer is in " + " ".join(f"[{rank}]" for rank in sorted(self._cited)) + ".")
        self._cited = []
        turn.__exit__(None, None, None)

    def _document(self, rank: int) -> Document:
        if 1 <= rank <= len(self.documents):
            return self.documents[rank - 1]
        raise DeskError(f"there is no passage {rank}; allowed: 1 to {len(self.documents)}")

    def _signal(self, kind: str, rank: int, value: float | None = None) -> None:
        turn = self._turn
        if turn is not None and turn.retrievals:
            ragwheel.signal(turn.retrievals[-1].handle, kind, chunk=self.documents[rank - 1], value=value)
