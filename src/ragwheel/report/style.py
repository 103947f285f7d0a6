"""The style sheet of reports, and parts of a report with it."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from markupsafe import Markup

__all__ = ["fragment", "style_sheet"]


@cache
def style_sheet() -> Markup:
    """The style sheet, which is a file of this package."""
    return Markup(files("ragwheel.report").joinpath("style.css").read_text("utf-8"))  # noqa: S704 - ours


def fragment(content: Markup) -> str:
    """Part of a page for a notebook, with the style sheet; nothing outside of it is styled."""
    return Markup('<div class="ragwheel-report"><style>{}</style>{}</div>').format(style_sheet(), content)
