"""The one place where an app's ``redact`` hook sees texts before they are written anywhere."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from typing import Any, Final

from ragwheel.guard import guard
from ragwheel.journal.records import Retrieval, Signal, TurnRecord

__all__ = ["FAILED", "Redaction"]

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.:-]{0,63}").fullmatch
FAILED: Final = "[not recorded: redaction failed]"


class Redaction:
    """Applies the hook to records, in place.

    Ids, ranks and scores are no texts, nor is a key of metadata that is a name such as ``author`` or
    ``dc:title``; any other key is.

    Args:
        hook: takes a text and returns what to write instead.
    """

    def __init__(self, hook: Callable[[str], str]) -> None:
        self._hook = hook

    def retrieval(self, record: Retrieval, texts: list[str]) -> list[str]:
        """Redact the query and the metadata, which must be plain values; the redacted texts of the chunks."""
        record.query = self.text(record.query)
        if record.metadata is not None:
            record.metadata = [self._value(found) for found in record.metadata]
        return [self.text(text) for text in texts]

    def turn(self, record: TurnRecord) -> None:
        """Redact query, answer, reasoning and what the citations quote."""
        record.query, record.answer = self._given(record.query), self._given(record.answer)
        record.reasoning = self._given(record.reasoning)
        for citation in record.citations or ():
            for part in ("marker", "text"):
                citation[part] = self._given(citation[part])

    def signal(self, record: Signal) -> None:
        """Redact the text of a reformulation, the comment, and a reason that is not a plain code."""
        record.query, record.comment = self._given(record.query), self._given(record.comment)
        record.reason = self._key(record.reason)

    def text(self, text: str) -> str:
        """The hook's word, or :data:`FAILED` when it fails: an unredacted text is never written."""
        try:
            found = self._hook(text)
            if type(found) is not str:
                raise TypeError(f"redact returned {type(found).__name__}, expected str")
            found.encode()
        except Exception as exc:
            with contextlib.suppress(Exception):  # strict re-raises; the text must not get out that way
                guard.caught("redacting", exc)
            return FAILED
        return found

    def _given(self, text: str | None) -> str | None:
        return None if text is None else self.text(text)

    def _key(self, key: Any) -> Any:
        return self.text(key) if isinstance(key, str) and not _NAME(key) else key

    def _value(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self._key(key): self._value(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self._value(item) for item in value]
        return value
