"""Import of traces of other tools as retrievals, turns, citations and feedback.

:mod:`containers` reads records from a file, :mod:`tools` interprets them, :mod:`staging` groups them by
trace, :mod:`traces` finds the retrievals and the turn in a trace, :mod:`rows` and :mod:`feedback` make rows
of these, and :mod:`ragwheel.store.imported` writes the rows.
"""

from __future__ import annotations

from ragwheel.importing.run import Contents, ImportOptions, ImportReport, import_traces
from ragwheel.importing.tools import TOOLS, titles

__all__ = ["TOOLS", "Contents", "ImportOptions", "ImportReport", "import_traces", "titles"]
