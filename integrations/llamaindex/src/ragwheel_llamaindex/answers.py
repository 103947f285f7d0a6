"""Query and chat engines as turns: the answer, the nodes in the prompt, and which of them were cited."""

from __future__ import annotations

import re
import threading
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

from llama_index.core.base.response.schema import AsyncStreamingResponse, StreamingResponse
from llama_index.core.bridge.pydantic import BaseModel
from llama_index.core.chat_engine.types import StreamingAgentChatResponse
from llama_index.core.schema import MetadataMode, NodeWithScore

from ragwheel.integration import Engine, recorded_stream

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["EngineCall", "call_of_context"]

_LABEL: Final = re.compile(r"\ASource \d+:\s*")
"""What CitationQueryEngine puts before each part of a node."""

call_of_context: ContextVar[EngineCall | None] = ContextVar("ragwheel_llamaindex_call", default=None)
"""The engine call that this code belongs to, also in threads that stream its answer after it has ended."""


class EngineCall:
    """One call of the outermost engine.

    Attributes:
        engine: the turn's recorder.
        nodes: what the engine's retrievers and re-rankers gave, in the order in which they gave it.
    """

    __slots__ = ("_lock", "_sources", "engine", "nodes")

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.nodes: list[NodeWithScore] = []
        self._sources: Sequence[Any] = ()
        self._lock = threading.Lock()

    def end(self, result: object) -> None:
        """Record what the engine returned; of a stream, what it will be an answer from."""
        with self._lock:
            self._sources = getattr(result, "source_nodes", None) or ()
            if isinstance(result, (StreamingResponse, AsyncStreamingResponse)):
                result.response_gen = recorded_stream(result.response_gen, self.streamed)
            elif isinstance(result, StreamingAgentChatResponse):
                if not result.is_writing_to_memory:  # else a span of its own has the answer
                    _record_chat_stream(result, self.streamed)
            else:
                self._answer(_text(result))
            self.engine.end()

    def fail(self, error: BaseException) -> None:
        """Record that the engine raised."""
        with self._lock:
            self.engine.end(error)

    def streamed(self, text: str, sources: Sequence[Any] | None = None) -> None:
        """Record an answer that has been streamed to its end."""
        with self._lock:
            if sources is not None:
                self._sources = sources
            if text:
                self._answer(text)

    def _answer(self, text: str | None) -> None:
        if text is not None:
            prompted = self._originals(self._sources)
            self.engine.answer(text, prompted=prompted if self._sources else None)

    def _originals(self, sources: Sequence[Any]) -> list[Any]:
        """Return the retrieved node of each source, in the order in which the prompt numbers them.

        An engine may cut nodes up and label the parts: a part's node is the next retrieved one, in the
        order of retrieval, that has its text. Sources that were not retrieved (answers to sub-questions)
        are left out.
        """
        retrievals = self.engine.turn.retrievals
        originals: list[Any] = []
        start = 0
        for source in sources:
            if any(retrieval.rank_of(source) is not None for retrieval in retrievals):
                originals.append(source)
                continue
            position = self._cut_from(source, start)
            if position is not None:
                start = position
                originals.append(self.nodes[position])
        return originals

    def _cut_from(self, source: object, start: int) -> int | None:
        """Return the position of the retrieved node with the text of ``source``, from ``start`` on first."""
        if not isinstance(source, NodeWithScore):
            return None
        part = _squeezed(_LABEL.sub("", source.node.get_content(metadata_mode=MetadataMode.NONE)))
        if not part:
            return None
        for position in [*range(start, len(self.nodes)), *range(start)]:
            node = self.nodes[position].node
            modes = (MetadataMode.NONE, MetadataMode.LLM, MetadataMode.ALL)
            if any(part in _squeezed(node.get_content(metadata_mode=mode)) for mode in modes):
                return position
        return None


def _record_chat_stream(result: Any, done: Callable[[str], None]) -> None:
    """Record a stream that the app itself reads from the model."""
    for name in ("chat_stream", "achat_stream"):
        stream = getattr(result, name, None)
        if stream is not None:
            recorded = recorded_stream(stream, done, text_of=lambda piece: getattr(piece, "delta", None))
            setattr(result, name, recorded)


def _squeezed(text: str) -> str:
    return " ".join(text.split())


def _text(result: object) -> str | None:
    """Return the text of an answer; a structured one as JSON."""
    response = getattr(result, "response", None)
    if isinstance(response, BaseModel):
        return response.model_dump_json()
    return response if isinstance(response, str) else None
