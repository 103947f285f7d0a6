"""The text of a query, in the forms in which frameworks and apps hand it to a retriever."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ragwheel.guard import let_interrupts_through
from ragwheel.host import clients, safe
from ragwheel.host.fields import fields_of, is_named_tuple
from ragwheel.host.items import text_value
from ragwheel.host.names import normal

__all__ = ["query_text"]

_NAMES: Final = (
    "querystr",  # LlamaIndex
    "query", "question", "userquery", "userquestion", "searchquery", "querytext",
    "input",  # LangChain's chains
    "userinput", "text", "q", "prompt", "usermessage", "message", "content", "searchtext",
    "standalonequestion", "originalquery", "messages", "chathistory", "parts", "data", "body", "params",
    "value",
)  # fmt: skip
_PEOPLE: Final = frozenset({"user", "human"})
_MAX_DEPTH: Final = 5
_MAX_MESSAGES: Final = 1_000


def query_text(query: object, max_chars: int) -> tuple[str, tuple[str, ...]]:
    """Return the text of a query and what had to be changed in it; ``not_text`` where there is none.

    Never raises. Understood are texts, bundles and bodies with a field named for it (``query``, ``question``,
    ``input``), messages, and lists of messages, of which the last one by a person counts.
    """
    text, flags = safe.text(query, max_chars)
    if "not_text" in flags:
        try:
            inner = _text(query, 0)
        except Exception as exc:  # the host's own code
            let_interrupts_through(exc)
            inner = None
        if inner is not None:
            return safe.text(inner, max_chars)
    return text, flags


def _text(query: Any, depth: int) -> Any:
    kind = type(query)
    if issubclass(kind, (str, bytes)):
        return query
    if depth > _MAX_DEPTH or query is None:
        return None
    if issubclass(kind, (list, tuple)) and not is_named_tuple(kind):
        return _of_list(query, depth)
    fields = fields_of(clients.opened(query, _MAX_MESSAGES))
    by_word: dict[str, Any] = {}
    for name in fields:
        if type(name) is str:
            by_word.setdefault(normal(name), fields[name])
    for word in _NAMES:
        if word in by_word:
            text = _text(by_word[word], depth + 1)
            if text is not None and text != "":
                return text
    return None


def _of_list(messages: Any, depth: int) -> Any:
    """The last text by a person; else the last text; of parts of one message, all of them."""
    parts = list(messages)[-_MAX_MESSAGES:]
    if parts and all(_role(part) is None for part in parts):
        if any(issubclass(type(part), str) for part in parts):
            return parts[0] if len(parts) == 1 else None
        texts = [text_value(part, {}, 1) for part in parts]
        texts = [text for text in texts if issubclass(type(text), str)]
        if texts:
            return "\n".join(map(str.__str__, texts))
        return _text(parts[0], depth + 1) if len(parts) == 1 else None
    for people in (True, False):
        for part in reversed(parts):
            if _role(part) in _PEOPLE or not people:
                text = _text(part[1] if _is_pair(part) else part, depth + 1)
                if text is not None:
                    return text
    return None


def _is_pair(part: Any) -> bool:
    return issubclass(type(part), (tuple, list)) and len(part) == 2


def _role(part: Any) -> str | None:
    """Who a message is by: its role, or its type in LangChain; None of what is no message."""
    if _is_pair(part):
        return part[0].lower() if type(part[0]) is str and len(part[0]) < 20 and " " not in part[0] else None
    if not issubclass(type(part), Mapping) and type(part) in (str, int, float, bool, bytes):
        return None
    fields = fields_of(part)
    role = fields.get("role")
    role = getattr(role, "value", role) if role is not None else None
    if type(role) is not str:
        role = fields.get("type") if "content" in fields else None
    return role.lower() if type(role) is str and role.lower() != "text" else None
