"""Steps in Python that run beside the data, in the worker processes of an engine."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import ibis
import pyarrow as pa

__all__ = ["Step", "Workers"]

#: Rows in, rows out; it is sent to the workers, so it must be a function that can be pickled.
Step = Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]


class Workers(ABC):
    """The worker processes of an engine."""

    @abstractmethod
    def mapped(
        self,
        name: str,
        rows: ibis.Table,
        step: Step,
        schema: pa.Schema,
        *,
        by: str | None,
        order: Sequence[str],
    ) -> ibis.Table:
        """Run a step on all rows and keep what it gives.

        Args:
            name: of the kept table.
            rows: what the step gets.
            step: called once for each share of the rows.
            schema: of what the step gives.
            by: rows with the same value of this column are in one share; None: there is one share only.
            order: the columns by which the rows of a share are sorted.
        """

    @abstractmethod
    def share(self, path: Path) -> Callable[[], Path]:
        """Send a file to every machine, and return a function that a step calls to find it there."""
