"""The review page: people grade chunks, compare systems, see why a chunk has its grade, and what to mend.

::

    ragwheel review --db ragwheel.db

serves it on the loopback interface. :func:`app` is the same as an ASGI app. Needs
``pip install 'ragwheel[review]'``; see ``docs/review.md``.
"""

from __future__ import annotations

try:
    import jinja2
    import markdown_it
    import starlette
except ImportError as exc:
    from ragwheel.errors import MissingExtra

    raise MissingExtra(
        f"The review page needs {exc.name}. Install it with: pip install 'ragwheel[review]'"
    ) from exc

from ragwheel.review.access import ReviewAccess
from ragwheel.review.asgi import app
from ragwheel.review.options import ReviewOptions

del jinja2, markdown_it, starlette

__all__ = ["ReviewAccess", "ReviewOptions", "app"]
