"""Feedback of a Chainlit app.

Chainlit gives feedback to its data layer, under the id of the run that answered. :func:`remember` notes which
turn that run was, :class:`RagwheelFeedback` turns the feedback into votes.

::

    @cl.data_layer
    def data_layer():
        return FeedbackOnly()          # or a class MyLayer(RagwheelFeedback, SQLAlchemyDataLayer)

    @cl.on_message
    async def answer(message):
        with ragwheel.turn(message.content) as turn:
            ...
            remember(turn)
"""

from __future__ import annotations

import uuid
from collections import OrderedDict
from typing import Any, Final

import chainlit as cl
from chainlit.data.base import BaseDataLayer
from chainlit.types import Feedback, PageInfo, PaginatedResponse

import ragwheel
from ragwheel.ui.votes import vote

__all__ = ["FeedbackOnly", "RagwheelFeedback", "remember"]

_REMEMBERED: Final = 20_000
_turns: OrderedDict[str, str] = OrderedDict()
"""Id of a run or a message -> the handle of its turn."""
_votes: OrderedDict[str, str] = OrderedDict()
"""Id of a feedback -> the handle that it is about."""


def _note(where: OrderedDict[str, str], key: str, handle: str) -> None:
    where[key] = handle
    where.move_to_end(key)
    if len(where) > _REMEMBERED:
        where.popitem(last=False)


def remember(turn: ragwheel.Turn | str, message: cl.Message | None = None) -> None:
    """Note that the current run, and this message of it, answer a turn.

    Args:
        turn: the turn, or its handle.
        message: needed only where feedback is given to single messages.
    """
    handle = turn if isinstance(turn, str) else turn.handle
    run = getattr(cl.context, "current_run", None)
    for step in (run, message):
        if step is not None:
            _note(_turns, step.id, handle)


class RagwheelFeedback:
    """A mixin for a data layer: feedback on a remembered run becomes a vote; deleting it takes it back."""

    async def upsert_feedback(self, feedback: Feedback) -> str:
        """Record the vote, then let the data layer keep the feedback."""
        handle = _turns.get(feedback.forId)
        if handle is not None:
            vote(handle, "thumbs_up" if feedback.value else "thumbs_down", comment=feedback.comment)
        inherited = getattr(super(), "upsert_feedback", None)
        kept = await inherited(feedback) if inherited is not None else None
        identifier = str(kept or feedback.id or uuid.uuid4())
        if handle is not None:
            _note(_votes, identifier, handle)
        return identifier

    async def delete_feedback(self, feedback_id: str) -> bool:
        """Take the vote back, then let the data layer forget the feedback."""
        handle = _votes.pop(feedback_id, None)
        if handle is not None:
            vote(handle, None)
        inherited = getattr(super(), "delete_feedback", None)
        return bool(await inherited(feedback_id)) if inherited is not None else True


class _KeepsNothing(BaseDataLayer):  # type: ignore[misc]  # untyped where it is not installed
    """A data layer without memory: Chainlit shows the thumbs only where there is one."""

    async def get_user(self, identifier: str) -> Any:
        return None

    async def create_user(self, user: Any) -> Any:
        return cl.PersistedUser(id=user.identifier, createdAt="", identifier=user.identifier)

    async def upsert_feedback(self, feedback: Feedback) -> str:
        return feedback.id or str(uuid.uuid4())

    async def delete_feedback(self, feedback_id: str) -> bool:
        return True

    async def create_element(self, element: Any) -> None: ...

    async def get_element(self, thread_id: str, element_id: str) -> Any:
        return None

    async def delete_element(self, element_id: str, thread_id: str | None = None) -> None: ...

    async def create_step(self, step_dict: Any) -> None: ...

    async def update_step(self, step_dict: Any) -> None: ...

    async def delete_step(self, step_id: str) -> None: ...

    async def get_thread_author(self, thread_id: str) -> str:
        return ""

    async def delete_thread(self, thread_id: str) -> None: ...

    async def list_threads(self, pagination: Any, filters: Any) -> Any:
        nothing = PageInfo(hasNextPage=False, startCursor=None, endCursor=None)
        return PaginatedResponse(pageInfo=nothing, data=[])

    async def get_thread(self, thread_id: str) -> Any:
        return None

    async def update_thread(self, thread_id: str, *values: Any, **named: Any) -> None: ...

    async def build_debug_url(self) -> str:
        return ""

    async def close(self) -> None: ...

    async def get_favorite_steps(self, user_id: str) -> list[Any]:
        return []


class FeedbackOnly(RagwheelFeedback, _KeepsNothing):
    """A data layer that keeps feedback, in ragwheel, and nothing else."""
