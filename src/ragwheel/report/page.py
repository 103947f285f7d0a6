"""The HTML page: one file without scripts and network requests, under a strict Content-Security-Policy."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from hashlib import sha256

from markupsafe import Markup

from ragwheel.report.blocks import Section, clean, joined
from ragwheel.report.style import style_sheet

__all__ = ["page"]


def page(title: str, subtitle: str, sections: Sequence[Section], footer: str) -> str:
    """A complete HTML document.

    Its own Content-Security-Policy allows nothing but its one style sheet, by hash: no script, no request, no
    ``style`` attribute.
    """
    digest = base64.b64encode(sha256(style_sheet().encode()).digest()).decode()
    links = joined(
        Markup('<li><a href="#{}">{}</a></li>').format(section.name, clean(section.title))
        for section in sections
    )
    return Markup(
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; style-src \'sha256-{}\'; '
        "base-uri 'none'; form-action 'none'\">\n"
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n<meta name="color-scheme" content="light dark">\n'
        "<title>{}</title>\n<style>{}</style>\n</head>\n"
        '<body class="ragwheel-report" id="top">\n<header><h1>{}</h1><p class="quiet">{}</p>'
        '<nav aria-label="Sections"><ul>{}</ul></nav></header>\n<main>\n{}\n</main>\n'
        '<a class="top" href="#top">Back to the top</a>\n'
        "<footer><p>{}</p></footer>\n</body>\n</html>\n"
    ).format(
        digest, clean(title), style_sheet(), clean(title), clean(subtitle), links,
        Markup("\n").join(section.html() for section in sections), clean(footer),
    )  # fmt: skip
