"""What sections are made of, and how each becomes HTML. Every text is escaped here, once, by markupsafe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from markupsafe import Markup, escape

if TYPE_CHECKING:
    from matplotlib.figure import Figure

from ragwheel.report.style import fragment

__all__ = [
    "Block",
    "Chart",
    "ExampleBlock",
    "Missing",
    "Note",
    "Points",
    "ProgressBlock",
    "Section",
    "Table",
    "Tiles",
    "clean",
    "joined",
]

_TEXT: Final = 420


@dataclass(frozen=True)
class Note:
    """A paragraph; ``quiet`` ones are remarks."""

    text: str
    quiet: bool = False

    def html(self) -> Markup:
        """Return the block as escaped HTML."""
        kind = Markup(' class="quiet"') if self.quiet else Markup("")
        return Markup("<p{}>{}</p>").format(kind, clean(self.text))


@dataclass(frozen=True)
class Points:
    """A list of sentences, the most important first."""

    texts: Sequence[str]

    def html(self) -> Markup:
        """Return the block as escaped HTML."""
        items = joined(Markup("<li>{}</li>").format(clean(text)) for text in self.texts)
        return Markup('<ul class="short">{}</ul>').format(items)


@dataclass(frozen=True)
class Missing:
    """Something that is missing, and the command that makes it."""

    what: str
    command: str

    def html(self) -> Markup:
        """Return the block as escaped HTML."""
        return Markup('<p class="missing">{} <code>{}</code></p>').format(
            clean(self.what), clean(self.command)
        )


@dataclass(frozen=True)
class Tiles:
    """Large numbers with their names."""

    facts: Sequence[tuple[str, str]]

    def html(self) -> Markup:
        """Return the block as escaped HTML."""
        entry = Markup("<div><dt>{}</dt><dd>{}</dd></div>")
        return Markup('<dl class="tiles">{}</dl>').format(
            joined(entry.format(clean(n), clean(v)) for n, v in self.facts)
        )


@dataclass(frozen=True)
class ProgressBlock:
    """How far from ``need``: a name, have, need, what it is for, and what to do."""

    rows: Sequence[tuple[str, int, int, str, Sequence[str]]]

    def html(self) -> Markup:
        """Return the block as escaped HTML."""
        return Markup('<div class="milestones">{}</div>').format(joined(self._row(*row) for row in self.rows))

    @staticmethod
    def _row(name: str, have: int, need: int, what: str, advice: Sequence[str]) -> Markup:
        state = "reached" if have >= need else f"{need - have:,} to go"
        steps = Markup("<ul>{}</ul>").format(
            joined(Markup("<li>{}</li>").format(clean(step)) for step in advice)
        )
        return Markup(
            '<section class="{}"><h3>{} <span>{}</span></h3><progress max="{}" value="{}" aria-label="{}">'
            "</progress><p>{:,} examples, {:,} needed: {}</p>{}</section>"
        ).format(
            "reached" if have >= need else "open", clean(name), state, need, min(have, need), clean(name),
            have, need, clean(what), steps if advice else "",
        )  # fmt: skip


@dataclass(frozen=True)
class Table:
    """Rows under heads, with a caption; ``numbers`` and ``commands`` are places of columns."""

    caption: str
    heads: Sequence[str]
    rows: Sequence[Sequence[Any]]
    numbers: Sequence[int] = ()
    commands: Sequence[int] = ()

    def html(self) -> Markup:
        """Return the block as escaped HTML."""
        heads = joined(
            Markup('<th scope="col"{}>{}</th>').format(self._kind(index), clean(head))
            for index, head in enumerate(self.heads)
        )
        return Markup(
            '<div class="wide" tabindex="0" role="region" aria-label="{0}"><table{3}>'
            "<caption><span>{0}</span></caption>"
            "<thead><tr>{1}</tr></thead><tbody>{2}</tbody></table></div>"
        ).format(
            clean(self.caption), heads, joined(map(self._row, self.rows)),
            Markup(' class="small"') if len(self.heads) == 2 else Markup(""),
        )  # fmt: skip

    def _row(self, row: Sequence[Any]) -> Markup:
        cells = [
            Markup('<th scope="row">{}</th>').format(clean(cell))
            if index == 0
            else Markup("<td{}>{}</td>").format(self._kind(index), self._content(index, cell))
            for index, cell in enumerate(row)
        ]
        return Markup("<tr>{}</tr>").format(joined(cells))

    def _content(self, column: int, cell: Any) -> Markup:
        return Markup("<code>{}</code>").format(clean(cell)) if column in self.commands else clean(cell)

    def _kind(self, column: int) -> Markup:
        return Markup(' class="n"') if column in self.numbers else Markup("")


@dataclass(frozen=True)
class Chart:
    """A picture: its SVG (of :func:`ragwheel.report.charts.to_svg`), what it shows in words, the figure."""

    name: str
    caption: str
    svg: Markup
    figure: Figure = field(repr=False)

    def html(self) -> Markup:
        """The SVG inline."""
        return Markup('<figure tabindex="0">{}<figcaption>{}</figcaption></figure>').format(
            self.svg, clean(self.caption)
        )


@dataclass(frozen=True)
class ExampleBlock:
    """A question with texts beside it, each with a label and reasons."""

    title: str
    question: str
    texts: Sequence[tuple[str, str, Sequence[str]]]

    def html(self) -> Markup:
        """Escaped, long texts cut."""
        parts = [
            Markup("<div><h4>{}</h4><blockquote>{}</blockquote>{}</div>").format(
                clean(label),
                cut(text),
                joined(Markup('<p class="why">{}</p>').format(clean(reason)) for reason in reasons),
            )
            for label, text, reasons in self.texts
        ]
        return Markup(
            '<article class="example"><p class="tag">{}</p><p class="question">{}</p>'
            '<div class="sides">{}</div></article>'
        ).format(clean(self.title), cut(self.question), joined(parts))


Block = Note | Points | Missing | Tiles | ProgressBlock | Table | Chart | ExampleBlock


@dataclass(frozen=True)
class Section:
    """A titled part of the report; in a notebook it shows itself."""

    name: str
    title: str
    blocks: tuple[Block, ...]

    @property
    def figures(self) -> dict[str, Figure]:
        """Its matplotlib figures by name."""
        return {block.name: block.figure for block in self.blocks if isinstance(block, Chart)}

    def html(self) -> Markup:
        """The section, without the style sheet."""
        return Markup(
            '<section id="{0}" aria-labelledby="{0}-h"><h2 id="{0}-h">{1}</h2>{2}</section>'
        ).format(self.name, clean(self.title), joined(block.html() for block in self.blocks))

    def _repr_html_(self) -> str:
        return fragment(self.html())


def clean(value: Any) -> Markup:
    """Return a value as escaped text; control characters become blanks, lone surrogates question marks."""
    if isinstance(value, Markup):
        return value
    text = str(value).encode("utf-8", "replace").decode("utf-8")
    return escape("".join(sign if sign.isprintable() or sign == "\n" else " " for sign in text))


def cut(text: str) -> Markup:
    """Return the beginning of a long text as :func:`clean` does."""
    return clean(text if len(text) <= _TEXT else text[:_TEXT].rstrip() + " …")


def joined(parts: Any) -> Markup:
    """Concatenate markup."""
    return Markup("").join(parts)
