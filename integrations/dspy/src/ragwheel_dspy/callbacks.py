"""One of DSPy's own callbacks: retrievals, the outermost program as a turn, and what was in its prompts."""

from __future__ import annotations

import functools
import threading
import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeVar

import dspy
from dspy.utils.callback import BaseCallback

import ragwheel
from ragwheel import ConfigurationError
from ragwheel.integration import Engine, OpenCalls, guard, passages_in, passages_of, raise_after

__all__ = ["HANDLER", "CaptureCallback", "instrument", "uninstrument"]

_QUESTIONS: Final = ("question", "query", "input", "text", "user_message")
_ANSWERS: Final = ("answer", "response", "output", "text", "summary", "report")
_SWALLOWING: Final = frozenset({"_execute_start_callbacks", "_execute_end_callbacks"})
_STARTING: Final = guard("beginning to record a DSPy call")
_ENDING: Final = guard("recording a DSPy call")

F = TypeVar("F", bound=Callable[..., Any])


def _letting_interrupts_through(handler: F) -> F:
    """Raise the app's own interrupt once DSPy, which swallows what a callback raises, goes on."""

    @functools.wraps(handler)
    def shielded(*args: Any, **kwargs: Any) -> None:
        try:
            handler(*args, **kwargs)
        except BaseException as error:
            raise_after(error, _SWALLOWING)
            raise

    return shielded  # type: ignore[return-value]


class ProgramCall:
    """The outermost program under way: a turn, if something is retrieved in it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._n_before = len(engine.turn.retrievals)
        self._prompted: list[object] | None = None

    def note_prompt(self, inputs: Mapping[str, Any]) -> None:
        """Note which of the turn's passages are among the inputs of a prompt, in their order there."""
        passages = passages_of(self._engine.turn)
        listed = [item for value in inputs.values() if isinstance(value, (list, tuple)) for item in value]
        prompted = [passages[item] for item in listed if isinstance(item, str) and item in passages]
        if not prompted:
            texts = [value for value in inputs.values() if isinstance(value, str)]
            prompted = passages_in(self._engine.turn, texts)
        if prompted:
            self._prompted = prompted

    def end(self, outputs: object, error: BaseException | None) -> None:
        """Record the answer of a program that retrieved or was given what was retrieved; end the turn."""
        is_answer = self._prompted is not None or len(self._engine.turn.retrievals) > self._n_before
        if error is None and is_answer:
            self._engine.answer(_answer(outputs), prompted=self._prompted)
        self._engine.end(error)


_programs: weakref.WeakKeyDictionary[Engine, ProgramCall] = weakref.WeakKeyDictionary()


def _program() -> ProgramCall | None:
    engine = Engine.current()
    return None if engine is None else _programs.get(engine)


class CaptureCallback(BaseCallback):  # type: ignore[misc]
    """Records while ``active``. DSPy calls it in the thread or task of the program itself."""

    def __init__(self) -> None:
        self.active = False
        self.tools: frozenset[str] = frozenset()
        self._trials: set[str] = set()
        self._retrievals: OpenCalls[Any] = OpenCalls()
        self._programs: OpenCalls[ProgramCall] = OpenCalls()

    def __deepcopy__(self, memo: object) -> CaptureCallback:
        """One per process: DSPy copies modules together with their callbacks."""
        return self

    def __reduce__(self) -> str:
        """One per process, also when a program is pickled."""
        return "HANDLER"

    @_letting_interrupts_through
    def on_module_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
        """Begin a retrieval or a program."""
        if not self.active or self._trials:
            return
        with _STARTING:
            if isinstance(instance, dspy.Retrieve):
                k = _named(inputs).get("k") or instance.k
                self._begin(call_id, _question(inputs), type(instance).__name__, k)
                return
            if program := _program():
                if isinstance(instance, dspy.Predict):
                    program.note_prompt(_named(inputs))
                return
            engine = Engine.begin(_question(inputs))
            if engine is not None:
                program = ProgramCall(engine)
                _programs[engine] = program
                self._programs.add(call_id, program)
                if isinstance(instance, dspy.Predict):
                    program.note_prompt(_named(inputs))

    @_letting_interrupts_through
    def on_module_end(self, call_id: str, outputs: Any, exception: BaseException | None = None) -> None:
        """End what began with this call."""
        with _ENDING:
            self._finish(call_id, outputs, exception)
            program = self._programs.close(call_id)
            if program is not None:
                program.end(outputs, exception)

    @_letting_interrupts_through
    def on_tool_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
        """Begin a retrieval if the tool is one that retrieves."""
        if self.active and not self._trials and instance.name in self.tools:
            with _STARTING:
                self._begin(call_id, _question(inputs), str(instance.name), None)

    @_letting_interrupts_through
    def on_tool_end(self, call_id: str, outputs: Any, exception: BaseException | None = None) -> None:
        """End the retrieval of a tool."""
        with _ENDING:
            self._finish(call_id, outputs, exception)

    def on_evaluate_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
        """Record nothing from here on: these are no questions of people."""
        self._trials.add(call_id)

    def on_evaluate_end(self, call_id: str, outputs: Any, exception: BaseException | None = None) -> None:
        """Go on recording when nothing else is tried out."""
        self._trials.discard(call_id)

    on_compile_start = on_evaluate_start
    on_compile_end = on_evaluate_end

    def _begin(self, call_id: str, query: object, name: str, k: object) -> None:
        retrieval = ragwheel.start_retrieval(query, source="", name=name, top_k=k)  # type: ignore[arg-type]
        retrieval.enter()
        self._retrievals.add(call_id, retrieval)

    def _finish(self, call_id: str, result: Any, error: BaseException | None) -> None:
        retrieval = self._retrievals.close(call_id)
        if retrieval is None:
            return
        if error is not None:
            retrieval.fail(error)
        else:
            retrieval.finish(result)
        retrieval.leave()


HANDLER: Final = CaptureCallback()
_changing: Final = threading.Lock()


def instrument(*, tools: Iterable[str] = ()) -> None:
    """Record ``dspy.Retrieve``, the tools that retrieve, and programs; calling it again changes nothing.

    Call it after ``dspy.configure(callbacks=...)``, whose callbacks go on working, in the thread that
    configures DSPy. While ``dspy.Evaluate`` runs in this process nothing is recorded, nor while an optimizer
    does, where DSPy announces it to callbacks; elsewhere call :func:`uninstrument` before you optimize.

    Args:
        tools: names of the ``dspy.Tool`` that retrieve: what they return is recorded as ranked chunks.

    Raises:
        ragwheel.ConfigurationError: `tools` is one text instead of several names.
        RuntimeError: another thread or task configures DSPy; DSPy's own message says which may.
    """
    if isinstance(tools, str):
        raise ConfigurationError(f"instrument: tools={tools!r} is one text; allowed: tools=[{tools!r}]")
    with _changing:
        current = list(dspy.settings.get("callbacks", []))
        if HANDLER not in current:
            dspy.configure(callbacks=[*current, HANDLER])
        HANDLER.tools = frozenset(tools) or HANDLER.tools
        HANDLER.active = True


def uninstrument() -> None:
    """Record no further calls; calls under way are recorded to their end. Safe to call at any time."""
    with _changing:
        HANDLER.active = False
        HANDLER.tools = frozenset()


def _named(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return a call's named arguments: DSPy hands them on under ``kwargs`` where the function takes any."""
    named = {name: value for name, value in inputs.items() if name not in {"args", "kwargs"}}
    return {**named, **(inputs.get("kwargs") or {})}


def _question(inputs: Mapping[str, Any]) -> object:
    """Return the question among a call's inputs: under a name that says so, else its first text."""
    named = _named(inputs)
    for name in _QUESTIONS:
        if isinstance(named.get(name), str):
            return named[name]
    values = [*(inputs.get("args") or ()), *named.values()]
    return next((value for value in values if isinstance(value, str)), None)


def _answer(outputs: Any) -> str | None:
    """Return the text of a program's answer: under a name that says so, else its last text."""
    if isinstance(outputs, str):
        return outputs
    fields = dict(outputs.items()) if isinstance(outputs, dspy.Prediction) else {}
    texts = {name: value for name, value in fields.items() if isinstance(value, str) and name != "reasoning"}
    named = next((texts[name] for name in _ANSWERS if name in texts), None)
    return named if named is not None else next(reversed(texts.values()), None)
