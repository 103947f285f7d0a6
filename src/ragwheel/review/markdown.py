"""Texts of chunks as HTML: Markdown without raw HTML, images or odd links; words of the question marked."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock, blockquote
from markdown_it.rules_inline import StateInline, emphasis
from markdown_it.token import Token
from markupsafe import Markup, escape

__all__ = ["MOST_RENDERED", "link_of", "marked", "question_words", "render"]

#: Characters of a chunk that are rendered; the rest is a click away, as plain text.
MOST_RENDERED: Final = 20_000
_WORD: Final = re.compile(r"\w+(?:['’]\w+)?")
_LINK: Final = re.compile(r"(?:https?://|mailto:)[^\s\x00-\x1f]+", re.IGNORECASE)
_LEAST_LETTERS: Final = 4
_STEM: Final = 5


def render(text: str, words: frozenset[str] = frozenset()) -> Markup:
    """Return a chunk's text as HTML that can neither run a script nor load anything."""
    parser = _parser()
    tokens = parser.parse(_clean(text[:MOST_RENDERED]))
    _close_links(tokens)
    return Markup(parser.renderer.render(tokens, parser.options, {"words": words}))  # noqa: S704 - escaped by the rules


def marked(text: str, words: frozenset[str]) -> Markup:
    """Return escaped text in which words of the question are marked."""
    parts: list[Markup] = []
    end = 0
    for match in _WORD.finditer(text):
        if _matches(_fold(match.group()), words):
            parts += [escape(text[end : match.start()]), Markup("<mark>{}</mark>").format(match.group())]
            end = match.end()
    return Markup("").join([*parts, escape(text[end:])])


@lru_cache(maxsize=2048)
def question_words(query: str) -> frozenset[str]:
    """Return the words of a question that are worth marking: long ones, and those with a digit."""
    words = (_fold(word) for word in _WORD.findall(query[:2000]))
    return frozenset(
        word
        for word in words
        if len(word) >= _LEAST_LETTERS or (len(word) > 1 and any(sign.isdigit() for sign in word))
    )


def link_of(address: object) -> str | None:
    """Return an address that a link may lead to (http, https, mailto), else None."""
    return address if isinstance(address, str) and len(address) < 2000 and _LINK.fullmatch(address) else None


def _fold(word: str) -> str:
    return unicodedata.normalize("NFKC", word).casefold()


def _matches(word: str, words: frozenset[str]) -> bool:
    if word in words:
        return True
    if len(word) < _STEM:
        return False
    return any(
        len(other) >= _STEM and other[:_STEM] == word[:_STEM] and abs(len(other) - len(word)) <= 3
        for other in words
    )


def _clean(text: str) -> str:
    """Without control characters and lone surrogates, which no browser shows."""
    text = text.encode("utf-8", "replace").decode("utf-8")
    return "".join(sign if sign.isprintable() or sign in "\n\t" else " " for sign in text)


@lru_cache(maxsize=1)
def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False, "breaks": True, "maxNesting": 20}).enable("table")
    parser.inline.ruler.at("emphasis", _emphasis)
    parser.block.ruler.at(
        "blockquote", _blockquote, {"alt": ["paragraph", "reference", "blockquote", "list"]}
    )
    parser.add_render_rule("text", _text)
    parser.add_render_rule("image", _image)
    parser.add_render_rule("heading_open", _heading)
    parser.add_render_rule("heading_close", _heading)
    parser.add_render_rule("link_open", _link)
    # a table cell's alignment would be a style attribute, which the page's policy forbids
    for name in ("th_open", "td_open"):
        parser.add_render_rule(name, _cell)
    return parser


def _emphasis(state: StateInline, silent: bool) -> bool:
    """Read emphasis by asterisks only: underscores are part of names, as in ``__init__``."""
    return state.src[state.pos] != "_" and emphasis.tokenize(state, silent)


def _blockquote(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """Read quotations, but leave a Python prompt, ``>>>``, as it is."""
    if state.src.startswith(">>>", state.bMarks[start] + state.tShift[start]):
        return False
    return blockquote(state, start, end, silent)


def _text(_self: Any, tokens: Sequence[Token], index: int, _options: Any, env: Any) -> str:
    return str(marked(tokens[index].content, env["words"]))


def _image(_self: Any, tokens: Sequence[Token], index: int, _options: Any, _env: Any) -> str:
    return str(
        Markup('<span class="image">[image: {}]</span>').format(tokens[index].content or "no description")
    )


def _heading(_self: Any, tokens: Sequence[Token], index: int, _options: Any, _env: Any) -> str:
    return "<h4>" if tokens[index].nesting == 1 else "</h4>"


def _cell(_self: Any, tokens: Sequence[Token], index: int, _options: Any, _env: Any) -> str:
    return f"<{tokens[index].tag}>"


def _link(_self: Any, tokens: Sequence[Token], index: int, _options: Any, _env: Any) -> str:
    return str(
        Markup('<a href="{}" target="_blank" rel="noopener noreferrer nofollow">').format(
            tokens[index].attrGet("href")
        )
    )


def _close_links(tokens: Sequence[Token]) -> None:
    """Leave only links with an address of their own; of others the text stays."""
    for token in tokens:
        if not token.children:
            continue
        kept: list[Token] = []
        dropped: list[bool] = []
        for child in token.children:
            if child.type == "link_open":
                dropped.append(link_of(child.attrGet("href")) is None)
                if dropped[-1]:
                    continue
            elif child.type == "link_close" and dropped.pop():
                continue
            kept.append(child)
        token.children = kept
