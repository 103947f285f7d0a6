"""Sources, feedback and the beacon in a Streamlit app.

::

    from ragwheel.ui import streamlit as rw

    rw.beacon("http://localhost:8321")          # where `ragwheel serve --beacon` listens
    rw.sources(turn.handle, chunks)
    rw.feedback(turn.handle)
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Any

import streamlit as st

from ragwheel.ui.cards import cards
from ragwheel.ui.votes import vote

__all__ = ["beacon", "feedback", "sources"]


def beacon(collector_url: str, *, debug: bool = False) -> None:
    """Load the beacon into the page, once however often the script runs.

    Args:
        collector_url: where ``ragwheel serve --beacon --origin URL-OF-THIS-APP`` is reached by the browser.
        debug: show the overlay of cards and verdicts.
    """
    url = escape(collector_url.rstrip("/"))
    tag = f'<script type="module" src="{url}/auto.js"{" data-debug" if debug else ""}></script>'
    st.html(tag, unsafe_allow_javascript=True)


def sources(handle: str, chunks: Iterable[Any]) -> None:
    """Show one card per chunk: the beacon records what is seen, opened and copied.

    Args:
        handle: of the turn or the retrieval.
        chunks: mappings or objects with ``id``, ``text`` and perhaps ``url``.
    """
    st.html(cards(handle, chunks))


def feedback(
    handle: str, *, chunk: str | None = None, comment: bool = True, subject: str | None = None
) -> None:
    """Show thumbs for an answer, or for a chunk; pressing a thumb again takes it back.

    Args:
        handle: of the turn.
        chunk: the app's id of the chunk; the answer when None.
        comment: whether a thumb down asks for a comment.
        subject: who votes, where the turn has no ``user_id``.
    """
    key = f"ragwheel {handle} {chunk or ''}"
    st.feedback("thumbs", key=key, on_change=_changed, args=(handle, chunk, key, subject))
    if comment and st.session_state.get(key) == 0:
        st.text_input(
            "What was wrong?", key=f"{key} comment", on_change=_changed, args=(handle, chunk, key, subject)
        )


def _changed(handle: str, chunk: str | None, key: str, subject: str | None) -> None:
    thumb = {0: "thumbs_down", 1: "thumbs_up"}.get(st.session_state.get(key))
    words = st.session_state.get(f"{key} comment") if thumb == "thumbs_down" else None
    vote(handle, thumb, chunk=chunk, comment=words, subject=subject)  # type: ignore[arg-type]
