"""Every exception ragwheel raises on purpose.

::

    RagwheelError
    ├── ConfigurationError        a setting that cannot be used (also ValueError)
    │   └── OverfetchRefused      over-fetch would change what the app gets
    ├── StoreError                the database cannot be read or written
    │   ├── StoreMissing          there is no such file
    │   ├── StoreEmpty            it holds no traces yet
    │   ├── StoreForeign          a database, but not one of ragwheel's
    │   ├── StoreTooNew           written by a newer ragwheel
    │   ├── StoreCorrupt          SQLite or the journal says that it is damaged
    │   └── StoreLocked           another process holds it
    ├── MissingExtra              an optional dependency is not installed (also ImportError)
    ├── DatasetError              a dataset cannot be built or read as asked
    │   └── LeakError             a split shares what it must not share
    ├── ExperimentError           an experiment cannot be planned, run or read as asked
    ├── ImportingError            an export of another tool cannot be read
    ├── JudgmentError             a judgment, or a file of them, cannot be taken in as given
    ├── JudgeError                the LLM judge's endpoint cannot be used, or gave up; what it said is kept
    └── ModelError                a model or adapter cannot be loaded, trained or used as asked
        ├── EndpointError         a model behind a URL cannot be reached, or gives no usable reply
        └── TrainingError         a training cannot start or go on; what it had reached is kept

The online half raises only :class:`ConfigurationError`, from ``configure`` and from the decorators
while they are being applied: a wrapped call never raises anything of its own. A message says what,
got, allowed, and the next command to type.
"""

from __future__ import annotations

__all__ = [
    "ConfigurationError",
    "DatasetError",
    "EndpointError",
    "ExperimentError",
    "ImportingError",
    "JudgeError",
    "JudgmentError",
    "LeakError",
    "MissingExtra",
    "ModelError",
    "OverfetchRefused",
    "RagwheelError",
    "StoreCorrupt",
    "StoreEmpty",
    "StoreError",
    "StoreForeign",
    "StoreLocked",
    "StoreMissing",
    "StoreTooNew",
    "TrainingError",
]


class RagwheelError(Exception):
    """Base of everything that ragwheel raises on purpose."""


class ConfigurationError(RagwheelError, ValueError):
    """A setting that cannot be used: names it, what it got and what is allowed."""


class OverfetchRefused(ConfigurationError):
    """Asking the retriever for more chunks would change what the app gets; the reason is in the text."""


class StoreError(RagwheelError):
    """The database cannot be read or written."""


class StoreMissing(StoreError):
    """There is no such file."""


class StoreEmpty(StoreError):
    """The database holds no traces yet."""


class StoreForeign(StoreError):
    """The file is a database (or another file), but not one that ragwheel made."""


class StoreTooNew(StoreError):
    """The database was written by a newer ragwheel than this one."""


class StoreCorrupt(StoreError):
    """SQLite or the journal reports damage."""


class StoreLocked(StoreError):
    """Another process holds the database."""


class MissingExtra(RagwheelError, ImportError):
    """An optional dependency is not installed; the text carries the pip command."""


class DatasetError(RagwheelError):
    """A dataset cannot be built or read as asked."""


class LeakError(DatasetError):
    """Two splits share a query group or a session that they must not share."""


class ModelError(RagwheelError):
    """A model or adapter cannot be loaded, trained or used as asked."""


class EndpointError(ModelError):
    """A model behind a URL cannot be reached, refuses, or gives no usable reply."""


class TrainingError(ModelError):
    """A training cannot start or go on; what it had reached is kept."""


class ExperimentError(RagwheelError):
    """An experiment cannot be planned, run or read as asked."""


class ImportingError(RagwheelError):
    """An export of another tool cannot be read: says what was looked for and what was seen."""


class JudgmentError(RagwheelError):
    """A judgment, or a file of judgments, cannot be taken in as given."""


class JudgeError(RagwheelError):
    """The endpoint of an LLM judge cannot be used or stopped answering; the replies that came are kept."""
