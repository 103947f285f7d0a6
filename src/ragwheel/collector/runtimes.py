"""The runtime that a collector writes through: the app's own, or one for the collector's database."""

from __future__ import annotations

import atexit
import os
from collections.abc import Iterable

from ragwheel import runtime
from ragwheel.errors import ConfigurationError
from ragwheel.journal.files import resolved
from ragwheel.runtime import Runtime

__all__ = ["RuntimeSource"]


class RuntimeSource:
    """Looks up the runtime for each request, since the app may call ``configure`` after making the collector.

    Without a ``db`` this is the app's own runtime, or None until there is one. With a ``db`` it is the app's
    own if that has the same database. If the process is not configured, it is configured with ``db``. If the
    app has another database, a second runtime is made.
    """

    def __init__(self, db: str | os.PathLike[str] | None, signing_keys: Iterable[str] | None) -> None:
        self._db = None if db is None else resolved(db)
        self._keys = None if signing_keys is None else tuple(signing_keys)
        self._own: Runtime | None = None
        self._configured: Runtime | None = None

    def __call__(self) -> Runtime | None:
        """Return the runtime to write through now.

        Raises:
            ConfigurationError: a setting cannot be used, or the keys are not those of the app's runtime.
        """
        if self._db is None:
            return self._checked(runtime.active())
        configured = runtime.current()
        if configured is not None and configured.settings.db == self._db:
            return self._checked(configured)
        if self._own is not None:
            return self._own
        if configured is None:
            self._configured = runtime.configure(self._db, signing_keys=self._keys)
            return self._configured
        return self._second()

    def _checked(self, runtime: Runtime | None) -> Runtime | None:
        if runtime is not None and self._keys is not None and self._keys != runtime.settings.signing_keys:
            raise ConfigurationError(
                "collector.app(signing_keys=...): got other keys than ragwheel.configure has for it. "
                "Allowed: none here, and all of them in configure(signing_keys=...)."
            )
        return runtime

    def _second(self) -> Runtime:
        from ragwheel._version import __version__
        from ragwheel.settings import load

        self._own = Runtime(load({"db": self._db, "signing_keys": self._keys}), __version__)
        atexit.register(self.close)
        return self._own

    def close(self) -> None:
        """Merge and close the runtime that was made here; a server ended by a signal runs no atexit hooks."""
        if self._configured is not None and self._configured is runtime.current():
            runtime.shutdown()
        self._configured = None
        if self._own is not None:
            self._own.close()
            self._own = None
            atexit.unregister(self.close)
