"""Templates, headers and the small things that all pages share."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from importlib.resources import files
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse, Response

__all__ = ["HEADERS", "fragment", "link", "page", "static_files"]

_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "Content-Security-Policy": _POLICY,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Cache-Control": "no-store",
    }
)
_TYPES: Final = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
_ROOMS: Final = (
    ("grade", "Grade"),
    ("compare", "Compare"),
    ("traces", "Traces"),
    ("documents", "Documents"),
    ("agreement", "Agreement"),
    ("training", "Training set"),
)

_ENVIRONMENT: Final = Environment(
    loader=PackageLoader("ragwheel.review"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def link(path: str, **query: object) -> str:
    """Return a local address; parameters that are None are left out."""
    shown = {name: str(value) for name, value in query.items() if value is not None}
    encoded = urlencode(shown, errors="replace")
    return f"{path}?{encoded}" if encoded else path


def _moment(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns / 1e9).astimezone().strftime("%Y-%m-%d %H:%M")


def _printable(value: object) -> str:
    text = str(value).encode("utf-8", "replace").decode("utf-8")
    return "".join(sign if sign.isprintable() or sign in "\n\t" else " " for sign in text)


_ENVIRONMENT.globals.update(link=link, rooms=_ROOMS)
_ENVIRONMENT.filters.update(moment=_moment, printable=_printable)


def page(template: str, *, status: int = 200, **values: Any) -> Response:
    """Render a template of the package."""
    html = _ENVIRONMENT.get_template(template).render(**values)
    return HTMLResponse(html, status, headers=dict(HEADERS))


def fragment(template: str, **values: Any) -> str:
    """Render a part of a page."""
    return _ENVIRONMENT.get_template(template).render(**values)


def static_files() -> dict[str, tuple[bytes, str]]:
    """Return the scripts and styles by name, with their types."""
    return {
        file.name: (file.read_bytes(), _TYPES[file.name.rpartition(".")[2]])
        for file in files("ragwheel.review").joinpath("static").iterdir()
        if file.name.rpartition(".")[2] in _TYPES
    }
