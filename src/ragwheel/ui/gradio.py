"""Likes, source cards and the beacon in a Gradio app.

::

    from ragwheel.ui import gradio as rw

    history.append(rw.answer("So it is.", turn.handle))   # a message that knows its turn
    rw.wire_likes(chatbot)
    app = rw.mount(FastAPI(), blocks)                      # with the collector and the beacon
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import gradio as gr

from ragwheel import collector
from ragwheel.ui.cards import cards
from ragwheel.ui.votes import vote

__all__ = ["answer", "mount", "sources", "wire_likes"]

_PREFIX = "ragwheel "


def answer(text: str, handle: str) -> dict[str, Any]:
    """Return a message of the assistant for ``gr.Chatbot`` that carries the handle of its turn."""
    return {"role": "assistant", "content": text, "metadata": {"id": _PREFIX + handle}}


def sources(handle: str, chunks: Iterable[Any]) -> str:
    """Return the cards of the chunks, for ``gr.HTML``."""
    return cards(handle, chunks)


def wire_likes(chatbot: gr.Chatbot) -> None:
    """Make the thumbs of a chatbot votes on the turns of its messages; a thumb taken away is taken back."""
    chatbot.like(_liked, [chatbot], None)


def _liked(history: list[Any], data: gr.LikeData) -> None:
    index = data.index[0] if isinstance(data.index, (list, tuple)) else data.index
    handle = _handle_of(history[index])
    if handle is None:
        return
    liked = {"like": True, "dislike": False}.get(str(data.liked).lower(), data.liked)
    vote(handle, "thumbs_up" if liked is True else "thumbs_down" if liked is False else None)


def _handle_of(message: Any) -> str | None:
    """The handle that :func:`answer` put into a message."""
    metadata = message.get("metadata") if isinstance(message, dict) else getattr(message, "metadata", None)
    message_id = (metadata or {}).get("id") if isinstance(metadata, dict) else getattr(metadata, "id", None)
    return str(message_id)[len(_PREFIX) :] if str(message_id).startswith(_PREFIX) else None


def mount(app: Any, blocks: gr.Blocks, path: str = "/", **settings: Any) -> Any:
    """Mount the collector at ``/ragwheel`` and the blocks at ``path``, with the beacon in their page.

    Args:
        app: a FastAPI app.
        blocks: the interface.
        path: where it is served.
        settings: of ``gr.mount_gradio_app``.

    Returns:
        The app.
    """
    app.mount("/ragwheel", collector.app(beacon=True))
    tag = '<script type="module" src="/ragwheel/auto.js"></script>'
    settings["head"] = tag + str(settings.get("head") or "")
    return gr.mount_gradio_app(app, blocks, path, **settings)
