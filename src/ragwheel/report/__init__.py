"""A report on the state of retrieval as one HTML page.

::

    from ragwheel.report import ReportOptions, make_report

    report = make_report("ragwheel.db", ReportOptions(dataset="dataset"))
    report.write("report.html")            # one file, no script, no network
    report["negatives"]                    # in a notebook, a section shows itself
    report.figures["confidence"]           # a matplotlib figure

``docs/report.md`` is the guide.
"""

from __future__ import annotations

try:
    import markupsafe
    import matplotlib as mpl
except ImportError as exc:
    from ragwheel.errors import MissingExtra

    raise MissingExtra(f"Reports need {exc.name}. Install it with: pip install 'ragwheel[report]'") from exc

from ragwheel.report.blocks import Section
from ragwheel.report.inputs import ReportOptions
from ragwheel.report.report import Report, make_report

del markupsafe, mpl

__all__ = ["Report", "ReportOptions", "Section", "make_report"]
