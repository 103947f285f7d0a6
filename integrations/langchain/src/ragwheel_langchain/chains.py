"""Chains, graphs and agents as turns: the question, the answer, and which documents were in the prompt.

LangChain gives every run an id and the id of its parent. Only these determine to which question a run
belongs: ``batch`` begins all its chains in one thread before the first of them continues, a stream begins
inside a generator, and an async run may end in another context than it began in. Therefore a turn belongs to
the outermost run, and each inner run that begins outside the turn's block enters the block again.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from langchain_core.messages import BaseMessage
from langchain_core.runnables.config import var_child_runnable_config

import ragwheel
from ragwheel.integration import Engine, OpenCalls, passages_in, passages_of

if TYPE_CHECKING:
    from uuid import UUID

    from ragwheel import Turn

__all__ = ["RUNS", "ChainCall", "ChainRun", "begin_call", "begin_run", "end_run", "run_of"]

_QUESTIONS: Final = ("question", "query", "input", "user_input", "user_message", "message", "prompt", "text")
_ANSWERS: Final = ("answer", "output", "result", "response", "output_text", "generation", "text", "content")
_SESSIONS: Final = ("session_id", "thread_id", "conversation_id")

_owned: weakref.WeakSet[Turn] = weakref.WeakSet()
"""The turns that chains opened. A chain without a parent run does not belong to such a turn."""
_recorded: weakref.WeakKeyDictionary[Turn, tuple[object, object]] = weakref.WeakKeyDictionary()
"""The answer and prompt that a chain recorded for a turn. Others are the app's own and are kept."""


@dataclass(eq=False)
class ChainCall:
    """The outermost run of a chain: a turn, if something is retrieved or the app has opened one."""

    engine: Engine
    n_before: int
    prompted: list[object] | None = None
    is_model_seen: bool = False

    @property
    def turn(self) -> Turn:
        """The turn that the answer belongs to."""
        return self.engine.turn

    def note_prompt(self, texts: Iterable[str]) -> None:
        """Note which of the turn's documents are in the prompt of a model, in prompt order."""
        self.is_model_seen = True
        self.prompted = passages_in(self.turn, texts) or self.prompted

    def end(self, inputs: object, outputs: object, error: BaseException | None) -> None:
        """Record the answer, if the chain answers from what was retrieved, and end the turn."""
        if self.turn in _owned and self.turn.query is None:
            self.engine.set_question(question_of(inputs))
        if error is None and (self.prompted or len(self.turn.retrievals) > self.n_before):
            self._answer(answer_of(outputs))
        self.engine.end(error)

    def _answer(self, answer: object) -> None:
        if answer is None or (not self.is_model_seen and _is_context(answer, self.turn)):
            return
        own_answer, own_prompted = _recorded.get(self.turn, (None, None))
        recorded = self.engine.recorded
        if recorded.get("answer") != own_answer:
            return
        is_prompt_ours = recorded.get("prompted") == own_prompted
        self.engine.answer(answer, prompted=self.prompted if is_prompt_ours else None)
        recorded = self.engine.recorded
        _recorded[self.turn] = (
            recorded.get("answer"),
            recorded.get("prompted") if is_prompt_ours else own_prompted,
        )


@dataclass(eq=False)
class ChainRun:
    """One run of LangChain inside a call, and the block of the turn that it entered, if it was outside."""

    call: ChainCall
    is_outermost: bool = False
    scope: Any = field(default=None, repr=False)


RUNS: Final = OpenCalls[ChainRun]()


def begin_call(run_id: UUID, inputs: object, metadata: Mapping[str, Any]) -> None:
    """Begin the outermost run of a chain, unless its inputs do not say what was asked.

    A stream's inputs are known only at its end; at its beginning LangChain reports ``{"input": ""}``.
    """
    question = question_of(inputs)
    if question is None and inputs != {"input": ""}:
        return
    around = ragwheel.current_turn()
    if around is not None and around in _owned:
        around = None
    session_id = next((metadata[name] for name in _SESSIONS if name in metadata), None)
    of = around or ragwheel.turn(question, session_id=session_id, user_id=metadata.get("user_id"))
    if around is None:
        _owned.add(of)
    call = ChainCall(Engine(of, owned=around is None), len(of.retrievals))
    begin_run(run_id, ChainRun(call, is_outermost=True), sys._getframe(1))


def begin_run(run_id: UUID, run: ChainRun, caller: Any) -> None:
    """Begin a run, whose retrievals belong to the turn of its call."""
    if ragwheel.current_turn() is not run.call.turn:
        run.scope = run.call.turn.enter_scope(caller)
    RUNS.add(str(run_id), run)


def run_of(run_id: UUID | None) -> ChainRun | None:
    """Return the run with this id; without an id, the run of this code by LangChain's context.

    A chain that gets callbacks of its own inside a step is a run without a parent.
    """
    if not len(RUNS):
        return None
    if run_id is None:
        manager = (var_child_runnable_config.get() or {}).get("callbacks")
        run_id = getattr(manager, "parent_run_id", None)
    return None if run_id is None else RUNS.get(str(run_id))


def end_run(run_id: UUID, inputs: object = None, outputs: object = None, error: Any = None) -> None:
    """End a run; this may be called in another context than its beginning."""
    run = RUNS.close(str(run_id)) if len(RUNS) else None
    if run is None:
        return
    if run.scope is not None:
        run.call.turn.leave_scope(run.scope)
    if run.is_outermost:
        run.call.end(inputs, outputs, error)


def question_of(inputs: object) -> str | None:
    """Return the question in a chain's inputs: the text itself, a named text, a person's last message."""
    if isinstance(inputs, Mapping):
        named = (_text(inputs[name]) for name in _QUESTIONS if inputs.get(name))
        question = next((text for text in named if text), None)
        return question or _text(inputs.get("messages")) or _only_text(inputs)
    return _text(inputs)


def answer_of(outputs: object) -> object:
    """Return the answer in a chain's outputs: a text or a message with its citations; None: there is none."""
    if isinstance(outputs, Mapping):
        named = (answer_of(outputs[name]) for name in (*_ANSWERS, "messages") if outputs.get(name))
        return next((answer for answer in named if answer is not None), None)
    if isinstance(outputs, (list, tuple)):
        return next((m for m in reversed(outputs) if _is_message(m, "ai")), None)
    if isinstance(outputs, str):
        return outputs or None
    return outputs if isinstance(outputs, BaseMessage) else None


def _text(value: object) -> str | None:
    if isinstance(value, str):
        return value or None
    if isinstance(value, BaseMessage):
        return _text(value.content) if isinstance(value.content, str) else _text(message_text(value))
    if isinstance(value, (list, tuple)):
        return next((_text(m) for m in reversed(value) if _is_message(m, "human")), None) or _pair(value)
    return None


def _pair(messages: Sequence[object]) -> str | None:
    """Return the last message of a person among ``("human", text)`` pairs and ``{"role": "user"}`` dicts."""
    for message in reversed(messages):
        if isinstance(message, Mapping):
            role, content = message.get("role", message.get("type")), message.get("content")
        elif isinstance(message, tuple) and len(message) == 2:
            role, content = message
        else:
            continue
        if role in ("user", "human") and isinstance(content, str):
            return content
    return None


def message_text(message: BaseMessage) -> str:
    """Return the text of a message, of all its parts."""
    content = message.content
    parts: list[Any] = [content] if isinstance(content, str) else content
    texts = (part if isinstance(part, str) else part.get("text") for part in parts)
    return "\n".join(text for text in texts if isinstance(text, str))


def _only_text(inputs: Mapping[Any, Any]) -> str | None:
    texts = [value for value in inputs.values() if isinstance(value, str) and value]
    return texts[0] if len(texts) == 1 and len(inputs) == 1 else None


def _is_message(message: object, kind: str) -> bool:
    return isinstance(message, BaseMessage) and message.type.lower().startswith(kind)


def _is_context(answer: object, of: Turn) -> bool:
    """Return whether a text consists of retrieved passages, joined for a prompt."""
    passages = passages_of(of)
    return isinstance(answer, str) and bool(passages) and all(passage in answer for passage in passages)
