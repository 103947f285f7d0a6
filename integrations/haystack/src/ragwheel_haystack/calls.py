"""The runs of pipelines and components that are under way, and what is recorded of each."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any, Final

import ragwheel
from ragwheel.integration import Engine, guard
from ragwheel_haystack.sockets import documents_in, role, text_of

__all__ = ["ComponentCall", "PipelineCall", "begin", "embedded_text"]

_QUESTIONS: Final = ("query", "question", "text", "input", "user_message")
_CONTENT: Final = guard("recording a Haystack component")
_ENDING: Final = guard("recording a Haystack pipeline")

_pipeline: ContextVar[PipelineCall | None] = ContextVar("ragwheel_haystack_pipeline", default=None)


class PipelineCall:
    """One run of the outermost pipeline: a turn, if something was retrieved in it."""

    def __init__(self, engine: Engine, before: PipelineCall | None) -> None:
        self._engine = engine
        self._before = before
        self.prompted: list[Any] | None = None
        self.answer: object = None
        self.embedded: list[tuple[str, object]] = []

    def content(self, key: str, value: Any) -> None:
        """Take nothing: the components' contents say it all."""

    @_ENDING
    def end(self, error: BaseException | None) -> None:
        """Record the answer, and end the turn."""
        if _pipeline.get() is self:
            _pipeline.set(self._before)
        if error is None and self.answer is not None:
            self._engine.answer(self.answer, prompted=self.prompted)
        self._engine.end(error)


class ComponentCall:
    """One run of a component of a pipeline."""

    def __init__(self, tags: Mapping[str, Any]) -> None:
        self._role = role(tags)
        self._name = str(tags.get("haystack.component.name") or "retriever")
        self._type = str(tags.get("haystack.component.type") or self._name)
        self._retrieval: Any = None
        self._inputs: Mapping[str, Any] = {}

    @_CONTENT
    def content(self, key: str, value: Any) -> None:
        """Take what went into the component or came out of it."""
        if not isinstance(value, Mapping):
            return
        if key == "haystack.component.input":
            self._inputs = value
            if self._role in {"retriever", "ranker"}:
                self._begin(value)
        elif key == "haystack.component.output":
            if self._retrieval is not None:
                self._retrieval.finish(value.get("documents"))
            self._tell_pipeline(value)

    @_CONTENT
    def end(self, error: BaseException | None) -> None:
        """Record that the component raised, or that it gave nothing."""
        if self._retrieval is not None:
            if error is not None:
                self._retrieval.fail(error)
            self._retrieval.leave()

    def _begin(self, inputs: Mapping[str, Any]) -> None:
        query = inputs.get("query")
        if not isinstance(query, str):
            query = embedded_text(inputs.get("query_embedding"))
        is_ranker = self._role == "ranker"
        self._retrieval = ragwheel.start_retrieval(
            query,
            source="" if is_ranker else self._name,
            name=self._type,
            top_k=inputs.get("top_k"),
            kind="rerank" if is_ranker else "retrieval",
        )
        self._retrieval.enter()

    def _tell_pipeline(self, outputs: Mapping[str, Any]) -> None:
        pipeline = _pipeline.get()
        if pipeline is None:
            return
        if self._role == "embedder" and isinstance(self._inputs.get("text"), str):
            pipeline.embedded.append((self._inputs["text"], outputs.get("embedding")))
        if "prompt" in outputs:
            pipeline.prompted = documents_in(self._inputs) or pipeline.prompted
        replies = outputs.get("answers") or outputs.get("replies")
        if isinstance(replies, list) and replies:
            pipeline.answer = text_of(replies[0]) or pipeline.answer


def begin(operation: str, tags: Mapping[str, Any]) -> PipelineCall | ComponentCall | None:
    """Begin recording what Haystack traces; None for what is of no interest."""
    if operation == "haystack.component.run":
        return ComponentCall(tags)
    if not operation.endswith("pipeline.run"):
        return None
    engine = Engine.begin(_question(tags.get("haystack.pipeline.input_data")))
    if engine is None:
        return None
    call = PipelineCall(engine, _pipeline.get())
    _pipeline.set(call)
    return call


def embedded_text(vector: object) -> str | None:
    """Return the text whose embedding a retriever was given in this pipeline."""
    pipeline = _pipeline.get()
    if pipeline is None or not pipeline.embedded or vector is None:
        return None
    for text, embedding in pipeline.embedded:
        if type(embedding) is list and type(vector) is list and embedding == vector:
            return text
    return pipeline.embedded[-1][0] if len(pipeline.embedded) == 1 else None


def _question(data: object) -> str | None:
    """Return the question among a pipeline's inputs: a text under a name that says so."""
    if not isinstance(data, Mapping):
        return None
    sockets = [data, *(value for value in data.values() if isinstance(value, Mapping))]
    for name in _QUESTIONS:
        for inputs in sockets:
            if isinstance(inputs.get(name), str):
                return str(inputs[name])
    return None
