"""Storage of paid replies, so that no question is paid for twice.

Replies are stored in a small SQLite file, by default in the user's cache folder. It holds hashes, answers and
token counts, but no questions or passages. Each reply is one transaction and is stored before it is used.
"""

from __future__ import annotations

import secrets
import sqlite3
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from types import TracebackType
from typing import Final

import sqlite_utils

from ragwheel.errors import JudgeError
from ragwheel.llm_judge.prompts import Reply

__all__ = ["Replies"]

_BUSY_S: Final = 30.0


class Replies:
    """The stored replies of all judges on this machine; a context manager.

    Args:
        path: the file; it is created if missing, readable by its owner only.

    Raises:
        JudgeError: the file cannot be opened or written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600)
            connection = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
            self._db = sqlite_utils.Database(connection)
            self._db.enable_wal()
            self._table = self._db.table("reply", pk="key")
            columns = {"key": bytes, "verdict": str, "answer": str, "tokens_in": int, "tokens_out": int}
            self._table.create(columns, if_not_exists=True)
            self._db.table("secret").create({"id": int, "value": bytes}, pk="id", if_not_exists=True)
            self._db.table("secret").insert({"id": 1, "value": secrets.token_bytes(32)}, ignore=True)
            self._secret = bytes(self._db.table("secret").get(1)["value"])
        except (sqlite3.Error, OSError, KeyError) as exc:
            raise self._broken(exc) from exc

    def get(self, key: bytes) -> Reply | None:
        """Return the stored reply for a key, or None."""
        try:
            row = self._table.get([key])
        except sqlite_utils.db.NotFoundError:
            return None
        except sqlite3.Error as exc:
            raise self._broken(exc) from exc
        answer = row["answer"]
        if answer is not None and answer.isdigit():
            answer = int(answer)
        return Reply(row["verdict"], answer, row["tokens_in"], row["tokens_out"])

    def put(self, key: bytes, reply: Reply) -> None:
        """Store a reply durably.

        Raises:
            JudgeError: the file cannot be written.
        """
        row = {
            "key": key,
            "verdict": reply.verdict,
            "answer": None if reply.answer is None else str(reply.answer),
            "tokens_in": reply.tokens_in,
            "tokens_out": reply.tokens_out,
        }
        try:
            self._table.insert(row, replace=True)
        except (sqlite3.Error, OverflowError) as exc:
            raise self._broken(exc) from exc

    def mark(self, key: bytes) -> str:
        """Return the delimiter of a request: it is secret, and the same if the request is sent again."""
        return blake2b(key, key=self._secret, digest_size=12).hexdigest()

    def close(self) -> None:
        """Close the file."""
        with suppress(sqlite3.Error):
            self._db.conn.close()

    def __enter__(self) -> Replies:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _broken(self, exc: Exception) -> JudgeError:
        return JudgeError(
            f"{self.path}, where paid replies are kept, cannot be used: {exc}. Name another place with "
            "RAGWHEEL_CACHE=FOLDER"
        )
