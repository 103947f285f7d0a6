"""The one place where an app's ``redact`` hook sees texts before they are written anywhere."""

from __future__ import annotations

import contextlib
import os
import re
import threading
from collections.abc import Callable, Sequence
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

from ragwheel.guard import guard, let_interrupts_through
from ragwheel.host import safe
from ragwheel.host.columns import text_id
from ragwheel.journal.records import RetrievalRecord, SignalRecord, TurnRecord

__all__ = ["FAILED", "Redaction"]

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.:-]{0,63}").fullmatch
FAILED: Final = "[not recorded: redaction failed]"
TEXT_ID: Final = "text:"
"""The prefix of ids that were made from a text."""


class Redaction:
    """Apply the app's ``redact`` hook to every text of a record, in place.

    Ids, ranks, scores and metadata keys that look like names (``author``, ``dc:title``) are left as they are.

    An id that was made from a chunk's text, because the app gave none, would let others check guesses of that
    text. It is replaced by an id made from the redacted text with a secret key.

    Args:
        hook: takes a text and returns the text to write.
        db: the database whose secret is that key; None: a random key of this process.
    """

    def __init__(self, hook: Callable[[str], str], db: Path | None = None) -> None:
        self._hook, self._db = hook, db
        self._redacted = threading.local()  # texts that `ids` redacted, until `retrieval` needs them

    def ids(self, ids: Sequence[str], texts: Sequence[str]) -> list[str]:
        """Return the ids to record for chunks with these ids and texts."""
        recorded = list(ids)
        cleaned = self._redacted.texts = {}
        for at, (chunk, text) in enumerate(zip(ids, texts, strict=True)):
            if chunk.startswith(TEXT_ID) and chunk == text_id(text):
                redacted = cleaned[text] = self.text(text)
                digest = blake2b(safe.text(redacted)[0].encode(), key=self._key_of_ids, digest_size=8)
                recorded[at] = TEXT_ID + digest.hexdigest()
        return recorded

    @cached_property
    def _key_of_ids(self) -> bytes:
        from ragwheel.store.secret import database_secret  # loads sqlite3: not at import

        if self._db is None:
            return os.urandom(32)
        try:
            return database_secret(self._db)
        except OSError as exc:
            guard.warn_once(
                "redaction.secret",
                f"ragwheel could not keep the key of redacted ids beside {self._db}: {exc}. Chunks without "
                f"an id of their own have other ids in every process until the folder can be written to.",
            )
            return os.urandom(32)

    def retrieval(self, record: RetrievalRecord, texts: list[str]) -> list[str]:
        """Redact the query and the metadata, which must be plain values; return the redacted chunk texts."""
        record.query = self.text(record.query)
        if record.metadata is not None:
            record.metadata = [self.value(value) for value in record.metadata]
        cleaned: dict[str, str] = self._redacted.__dict__.pop("texts", {})
        return [cleaned[text] if text in cleaned else self.text(text) for text in texts]

    def turn(self, record: TurnRecord) -> None:
        """Redact the query, the answer, the reasoning and the quotes of citations."""
        record.query, record.answer = self._text_or_none(record.query), self._text_or_none(record.answer)
        record.reasoning = self._text_or_none(record.reasoning)
        for citation in record.citations or ():
            for part in ("marker", "text"):
                citation[part] = self._text_or_none(citation[part])

    def signal(self, record: SignalRecord) -> None:
        """Redact the text of a reformulation, the comment, and a reason that is not a plain code."""
        record.query, record.comment = self._text_or_none(record.query), self._text_or_none(record.comment)
        record.reason = self._key(record.reason)

    def text(self, text: str) -> str:
        """Return the text that the hook returns, or :data:`FAILED` if it fails."""
        try:
            cleaned_text = self._hook(text)
            if type(cleaned_text) is not str:
                raise TypeError(f"redact returned {type(cleaned_text).__name__}, expected str")
            cleaned_text.encode()
        except Exception as exc:
            let_interrupts_through(exc)
            with contextlib.suppress(Exception):  # strict re-raises; the text must not get out that way
                guard.caught("redacting", exc)
            return FAILED
        return cleaned_text

    def _text_or_none(self, text: str | None) -> str | None:
        return None if text is None else self.text(text)

    def _key(self, key: Any) -> Any:
        return self.text(key) if isinstance(key, str) and not _NAME(key) else key

    def value(self, value: Any) -> Any:
        """Redact plain metadata: its texts, and keys that do not look like names."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self._key(key): self.value(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.value(item) for item in value]
        return value
