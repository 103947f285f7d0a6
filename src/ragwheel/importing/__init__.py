"""Traces that exist already: what other tools recorded becomes retrievals, turns, citations and feedback.

Flow: :mod:`containers` reads records out of a file, :mod:`tools` says what each record means, :mod:`staging`
gathers them by trace, :mod:`traces` finds the retrievals and the turn in a trace, :mod:`rows` and
:mod:`feedback` make rows of them, and :mod:`ragwheel.store.imported` writes those.
"""

from __future__ import annotations

from ragwheel.importing.run import Contents, ImportOptions, ImportReport, import_traces
from ragwheel.importing.tools import TOOLS, titles

__all__ = ["TOOLS", "Contents", "ImportOptions", "ImportReport", "import_traces", "titles"]
