"""Which of the objects that a turn has retrieved are in a prompt."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ragwheel.host import safe
from ragwheel.host.columns import row

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ragwheel.capture.turn import Turn

__all__ = ["passages_in", "passages_of"]


def passages_of(of: Turn) -> dict[str, object]:
    """Return the app's objects that a turn has retrieved, by text.

    It is empty once the turn has let them go.
    """
    passages: dict[str, object] = {}
    for retrieval in of.retrievals:
        for rank in range(1, min(retrieval.n_returned, len(retrieval.chunk_ids)) + 1):
            item = retrieval.item(rank)
            if item is not None:
                passages.setdefault(safe.text(row(item, {}).text)[0], item)
    passages.pop("", None)
    return passages


def passages_in(of: Turn, texts: Iterable[str]) -> list[object]:
    """Return the app's objects that a turn has retrieved and whose texts are in a prompt, in prompt order.

    The whole text of a passage must occur. Where passages overlap, the longest one counts.

    Args:
        of: the turn.
        texts: the parts of the prompt.
    """
    prompt = "\n".join(texts)
    passages = passages_of(of)
    starts: list[tuple[int, object]] = []
    for passage in sorted(passages, key=len, reverse=True):
        start = prompt.find(passage)
        if start >= 0:
            starts.append((start, passages[passage]))
            prompt = prompt[:start] + "\0" * len(passage) + prompt[start + len(passage) :]
    return [item for _, item in sorted(starts, key=lambda entry: entry[0])]
