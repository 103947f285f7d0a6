"""Pictures: drawn by matplotlib, then made to follow the page's colours and type.

matplotlib's SVG carries colours and fonts in ``style`` attributes, which a strict Content-Security-Policy
forbids and dark pages cannot recolour. :func:`to_svg` turns them into presentation attributes and classes of
the page's style sheet, and text stays text.
"""

from __future__ import annotations

import io
import itertools
import re
from collections.abc import Sequence
from typing import Any, Final
from xml.etree import ElementTree as ET

from markupsafe import Markup

from ragwheel.errors import MissingExtra
from ragwheel.report.blocks import Chart

try:
    import matplotlib as mpl
    from matplotlib.figure import Figure
except ImportError as exc:
    raise MissingExtra("Reports need matplotlib. Install it with: pip install 'ragwheel[report]'") from exc

__all__ = ["PALETTE", "bars", "diagonal", "forest", "histogram", "line", "to_svg"]

#: Colours of the light page by the name of their class in the style sheet.
PALETTE: Final = {
    "ink": "#1b1f24", "quiet": "#5b6570", "grid": "#d8dde3", "accent": "#2456c6", "soft": "#b9cbf3",
    "good": "#147a3c", "bad": "#b3261e",
}  # fmt: skip
_CLASS: Final = {colour: name for name, colour in PALETTE.items()}
_SVG: Final = "http://www.w3.org/2000/svg"
_LINK: Final = "{http://www.w3.org/1999/xlink}href"
_STYLE: Final[dict[Any, Any]] = {
    "svg.fonttype": "none", "svg.hashsalt": "ragwheel", "font.size": 10, "axes.spines.top": False,
    "axes.spines.right": False, "axes.edgecolor": PALETTE["grid"], "axes.labelcolor": PALETTE["quiet"],
    "text.color": PALETTE["ink"], "xtick.color": PALETTE["quiet"], "ytick.color": PALETTE["quiet"],
    "axes.facecolor": "none", "figure.facecolor": "none", "font.family": "DejaVu Sans",
    "xtick.major.size": 0, "ytick.major.size": 0, "axes.titlesize": 10,
}  # fmt: skip
_WIDTH: Final = 6.4
_MOST_READ: Final = 40  # values of one picture that a screen reader says
_ZOOM: Final = 1.4  # CSS pixels a point: type of 14 pixels, in every picture


def bars(name: str, caption: str, rows: Sequence[tuple[str, float]], unit: str = "") -> Chart:
    """Horizontal bars with their values, the first on top; ``unit`` ``%`` prints shares."""
    with mpl.rc_context(_STYLE):
        figure, axes = _figure(max(1.0, 0.34 * len(rows) + 0.3))
        places = range(len(rows))
        values = [value for _, value in rows]
        axes.barh(places, values, color=PALETTE["accent"], height=0.62)
        axes.set_yticks(list(places), [_shortened(label) for label, _ in rows], color=PALETTE["ink"])
        axes.invert_yaxis()
        top = 1.0 if unit == "%" else max(values, default=1) or 1
        axes.set_xlim(0, top * 1.16)
        axes.xaxis.set_visible(False)
        axes.spines[["bottom", "left"]].set_visible(False)
        form = ".0%" if unit == "%" else ",.0f"
        for index, value in enumerate(values):
            axes.text(value + top * 0.012, index, f"{value:{form}}", va="center", color=PALETTE["quiet"])
        readings = [f"{label} {value:{form}}" for label, value in rows]
        return _chart(name, caption, figure, readings)


def histogram(name: str, caption: str, values: Sequence[float], edges: Sequence[float], label: str) -> Chart:
    """How many values lie between neighbouring edges."""
    with mpl.rc_context(_STYLE):
        figure, axes = _figure(2.3)
        axes.hist(values, bins=list(edges), color=PALETTE["accent"], rwidth=0.92)
        axes.set_xlabel(label)
        axes.yaxis.grid(visible=True, color=PALETTE["grid"], linewidth=0.7)
        axes.set_axisbelow(True)
        axes.spines["left"].set_visible(False)
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        readings = [
            f"{low:g} to {high:g}: {sum(low <= value < high for value in values):,}"
            for low, high in itertools.pairwise(edges)
        ]
        return _chart(name, caption, figure, readings)


def line(
    name: str, caption: str, values: Sequence[float], bounds: tuple[Sequence[float], Sequence[float]] | None
) -> Chart:
    """A curve over ranks 1, 2, … from 0 to 1, with a band where there are bounds."""
    with mpl.rc_context(_STYLE):
        figure, axes = _figure(2.4)
        ranks = list(range(1, len(values) + 1))
        if bounds is not None:
            axes.fill_between(ranks, *bounds, color=PALETTE["soft"], linewidth=0)
        axes.plot(ranks, values, color=PALETTE["accent"], linewidth=2, marker="o", markersize=4)
        axes.set_ylim(0, max(1.05, max(values) * 1.05))
        axes.set_xlabel("rank")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.yaxis.grid(visible=True, color=PALETTE["grid"], linewidth=0.7)
        axes.set_axisbelow(True)
        axes.spines["left"].set_visible(False)
        readings = [f"rank {rank}: {value:.2f}" for rank, value in zip(ranks, values, strict=True)]
        return _chart(name, caption, figure, readings)


def forest(
    name: str, caption: str, rows: Sequence[tuple[str, float, float | None, float | None, str]]
) -> Chart:
    """Differences with intervals around zero; green where the verdict is better, red where it is worse."""
    with mpl.rc_context(_STYLE):
        figure, axes = _figure(max(1.2, 0.36 * len(rows) + 0.7))
        for index, (_, mean, low, high, verdict) in enumerate(rows):
            colour = PALETTE[{"better": "good", "worse": "bad"}.get(verdict, "quiet")]
            if low is not None and high is not None:
                axes.plot([low, high], [index, index], color=colour, linewidth=2.2, solid_capstyle="round")
            axes.plot([mean], [index], marker="o", markersize=6, color=colour)
        axes.axvline(0, color=PALETTE["ink"], linewidth=0.8)
        axes.set_yticks(range(len(rows)), [_shortened(row[0]) for row in rows], color=PALETTE["ink"])
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.xaxis.set_major_formatter(lambda value, _: _signed(value))
        axes.xaxis.grid(visible=True, color=PALETTE["grid"], linewidth=0.7)
        axes.set_axisbelow(True)
        axes.spines[["bottom", "left"]].set_visible(False)
        readings = [
            f"{label} {mean:+.3f}"
            + (f", {low:+.3f} to {high:+.3f}" if low is not None and high is not None else "")
            for label, mean, low, high, _ in rows
        ]
        return _chart(name, caption, figure, readings)


def _signed(value: float) -> str:
    """Return a tick label with as many digits as the step of the axis has: +0.025, −0.15, 0."""
    rounded = round(value, 6)  # ticks are multiples of a step, with errors of the machine
    return f"{rounded:+g}".replace("-", "−") if rounded else "0"


def diagonal(name: str, caption: str, points: Sequence[tuple[float, float, int]]) -> Chart:
    """Draw a reliability diagram: expected and observed shares, larger points for more observations."""
    with mpl.rc_context(_STYLE):
        figure, axes = _figure(2.8)
        axes.plot([0, 1], [0, 1], color=PALETTE["quiet"], linewidth=0.8)
        most = max((n for _, _, n in points), default=1)
        for expected, observed, n in points:
            size = 4 + 8 * (n / most) ** 0.5
            axes.plot([expected], [observed], marker="o", markersize=size, color=PALETTE["accent"])
        axes.set_xlim(-0.03, 1.03)
        axes.set_ylim(-0.03, 1.03)
        axes.set_xlabel("believed")
        axes.set_ylabel("relevant")
        axes.yaxis.grid(visible=True, color=PALETTE["grid"], linewidth=0.7)
        axes.set_axisbelow(True)
        axes.spines["left"].set_visible(False)
        readings = [
            f"believed {expected:.2f}, relevant {observed:.2f} of {n:,}" for expected, observed, n in points
        ]
        return _chart(name, caption, figure, readings)


def to_svg(figure: Figure, name: str, title: str) -> Markup:
    """The figure as inline SVG: no ``style``, ids of its own, colours by class, a label that is read out."""
    file = io.BytesIO()
    with mpl.rc_context(_STYLE):
        figure.savefig(file, format="svg", bbox_inches="tight", pad_inches=0.04, metadata={"Date": None})
    ET.register_namespace("", _SVG)
    root = ET.fromstring(file.getvalue())  # noqa: S314 - matplotlib wrote it just now
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in (f"{{{_SVG}}}metadata", f"{{{_SVG}}}style"):
                parent.remove(child)
    for element in root.iter():
        _restyle(element)
        _rename(element, name)
    for attribute in ("width", "height", "version"):
        root.attrib.pop(attribute, None)
    across, down = (float(size) * _ZOOM for size in root.attrib["viewBox"].split()[2:])
    root.attrib |= {"width": f"{across:.0f}", "height": f"{down:.0f}"}
    root.set("role", "img")
    root.set("aria-label", title)
    return Markup(ET.tostring(root, encoding="unicode"))  # noqa: S704 - serialised, so escaped


def _figure(height: float) -> tuple[Figure, Any]:
    figure = Figure(figsize=(_WIDTH, height))
    return figure, figure.add_subplot()


def _chart(name: str, caption: str, figure: Figure, values: Sequence[str]) -> Chart:
    """A chart whose label, which a screen reader says instead of the picture, has its values."""
    label = "; ".join([caption, *values[:_MOST_READ], *(["and more"] if len(values) > _MOST_READ else [])])
    printable = "".join(sign if sign.isprintable() else " " for sign in label)
    return Chart(name, caption, to_svg(figure, name, printable), figure)


def _shortened(label: str, limit: int = 34) -> str:
    """A label with matplotlib's own signs taken out."""
    plain = " ".join(label.replace("$", "\uff04").split())
    return plain if len(plain) <= limit else plain[: limit - 1] + "…"


def _restyle(element: ET.Element) -> None:
    classes = []
    for declaration in element.attrib.pop("style", "").split(";"):
        key, _, value = (part.strip() for part in declaration.partition(":"))
        if key in ("fill", "stroke") and value.lower() in _CLASS:
            classes.append(f"{key[0]}-{_CLASS[value.lower()]}")
        elif key == "font":
            size = re.search(r"([\d.]+)px", value)
            element.set("font-size", size[1] if size else "10")
        elif key and value:
            element.set(key, value)
    for key in ("fill", "stroke"):
        if (value := element.get(key, "").lower()) in _CLASS:
            classes.append(f"{key[0]}-{_CLASS[value]}")
            del element.attrib[key]
    if element.tag == f"{{{_SVG}}}text" and not any(class_name.startswith("f-") for class_name in classes):
        classes.append("f-ink")
    if classes:
        element.set("class", " ".join(classes))


def _rename(element: ET.Element, name: str) -> None:
    if "id" in element.attrib:
        element.set("id", f"{name}-{element.attrib['id']}")
    for key, value in list(element.attrib.items()):
        if key == _LINK:
            del element.attrib[key]
            element.set("href", value.replace("#", f"#{name}-", 1))
        elif "url(#" in value:
            element.set(key, value.replace("url(#", f"url(#{name}-"))
