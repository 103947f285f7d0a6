"""Answers that a framework streams, passed on unchanged and recorded at their end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ragwheel.integration.engine import ANSWERING

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator

__all__ = ["recorded_stream"]


def recorded_stream(
    stream: Any, done: Callable[[str], None], *, text_of: Callable[[Any], object] | None = None
) -> Any:
    """Return a generator that yields the same pieces; it is async if the stream is.

    Args:
        stream: an iterator or async iterator.
        done: called once with the whole text, when the stream has ended, failed, or is closed early. Its
            exceptions are swallowed and counted.
        text_of: returns the text of a piece that is not a string. A piece without text is not recorded.
    """
    pieces = _Pieces(done, text_of)
    return _recorded_async(stream, pieces) if hasattr(stream, "__anext__") else _recorded(stream, pieces)


class _Pieces:
    """The text of a stream so far."""

    def __init__(self, done: Callable[[str], None], text_of: Callable[[Any], object] | None) -> None:
        self._done, self._text_of = done, text_of
        self._texts: list[str] = []

    def add(self, piece: object) -> None:
        with ANSWERING:
            text = piece if self._text_of is None else self._text_of(piece)
            if isinstance(text, str):
                self._texts.append(text)

    def end(self) -> None:
        with ANSWERING:
            self._done("".join(self._texts))


def _recorded(stream: Iterator[Any], pieces: _Pieces) -> Generator[Any, None, None]:
    try:
        for piece in stream:
            pieces.add(piece)
            yield piece
    finally:
        pieces.end()


async def _recorded_async(stream: AsyncIterator[Any], pieces: _Pieces) -> AsyncGenerator[Any, None]:
    try:
        async for piece in stream:
            pieces.add(piece)
            yield piece
    finally:
        pieces.end()
