"""The parts that integrations of frameworks are built from, besides :func:`ragwheel.start_retrieval`.

* :class:`Engine` records a call of the framework that answers a question as a turn.
* :class:`OpenCalls` holds the calls that have begun and not ended, by the framework's own ids.
* :class:`Wrapping` checks and applies the arguments of a ``wrap_retriever``.
* :data:`guard` swallows and counts what breaks in an integration.
* :func:`check_whole` refuses an argument that is not a whole number in its range.
* :func:`require` checks which release of the framework is installed.
* :func:`recorded_stream` passes a streamed answer on and records it at its end.
* :func:`passages_of` returns the objects that a turn has retrieved, by their texts.
* :func:`passages_in` returns those of them whose texts are in a prompt.
* :func:`text_id` makes the id of a chunk that has none of its own.
* :func:`raise_after` raises an interrupt of the app again that the framework would swallow.

:class:`ragwheel.testing.IntegrationContract` has the tests that an integration inherits.
"""

from __future__ import annotations

from ragwheel.guard import guard
from ragwheel.host.columns import text_id
from ragwheel.integration.checks import check_whole, require
from ragwheel.integration.engine import Engine, OpenCalls
from ragwheel.integration.interrupts import raise_after
from ragwheel.integration.prompts import passages_in, passages_of
from ragwheel.integration.streams import recorded_stream
from ragwheel.integration.wrapping import Wrapping

__all__ = [
    "Engine",
    "OpenCalls",
    "Wrapping",
    "check_whole",
    "guard",
    "passages_in",
    "passages_of",
    "raise_after",
    "recorded_stream",
    "require",
    "text_id",
]
