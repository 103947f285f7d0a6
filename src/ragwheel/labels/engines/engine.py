"""Where the relational steps run: DuckDB in this process, or another engine with the same answers.

Everything above this module speaks Ibis only, in terms that other engines compile too: integer
nanoseconds, native lists of structs instead of JSON, windows with a total order, sums of whole numbers
(a sum of floats depends on the order of the rows).
"""

from __future__ import annotations

import os
import shutil
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from types import TracebackType
from typing import Final

import duckdb
import ibis
import pyarrow as pa

from ragwheel.errors import ConfigurationError
from ragwheel.labels.engines.workers import Workers
from ragwheel.labels.traces.read import TableSource
from ragwheel.labels.traces.read_parquet import ParquetRows

__all__ = ["ENGINES", "DuckDBEngine", "EngineRows", "RelationalEngine", "open_engine"]

ENGINES: Final = ("duckdb", "spark")
_MOST_MEMORY: Final = 4 << 30


@dataclass(frozen=True)
class EngineRows:
    """A table that is on the engine already; registering it gives its expression."""

    expression: ibis.Table
    schema: pa.Schema
    num_rows: int


class RelationalEngine(ABC):
    """Named tables and the answers to Ibis expressions over them; a context manager.

    Ibis only compiles: it is asked for SQL, never for a connection, so that neither side's changes
    of client API come between them.
    """

    @property
    def workers(self) -> Workers | None:
        """Processes beside the data in which steps in Python can run; None: there are none."""
        return None

    @abstractmethod
    def register(self, name: str, rows: TableSource) -> ibis.Table:
        """Rows under a name; a table of the same name is replaced."""

    @abstractmethod
    def keep(self, name: str, expression: ibis.Table) -> ibis.Table:
        """Compute an expression now and keep the rows under a name; a table of the same name is replaced."""

    @abstractmethod
    def drop(self, name: str) -> None:
        """Forget a kept table."""

    @abstractmethod
    def arrow(self, expression: ibis.Table) -> pa.Table:
        """All rows; in no order unless the expression says one."""

    @abstractmethod
    def batches(self, expression: ibis.Table, rows: int = 50_000) -> Iterator[pa.RecordBatch]:
        """The rows, some at a time; of kept tables only."""

    @abstractmethod
    def close(self) -> None:
        """Give back memory and disk."""

    def count(self, expression: ibis.Table) -> int:
        """How many rows."""
        return int(self.arrow(expression.agg(n=expression.count()))["n"][0].as_py())

    def __enter__(self) -> RelationalEngine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class DuckDBEngine(RelationalEngine):
    """DuckDB; what does not fit in its memory goes to a temporary folder, removed on closing.

    Args:
        memory_limit: as DuckDB reads it, for example ``"4GB"``; None: half of the machine's memory, at most
            4 GiB.
        threads: None: one per core.

    Raises:
        ConfigurationError: DuckDB cannot read one of them, or later has too little memory for a step.
    """

    def __init__(self, *, memory_limit: str | None = None, threads: int | None = None) -> None:
        self._folder = tempfile.mkdtemp(prefix="ragwheel-engine-")
        self._limit = memory_limit or f"{_memory() >> 20}MiB"
        config: dict[str, str | bool | int | float | list[str]] = {
            "temp_directory": self._folder,
            "memory_limit": self._limit,
            "preserve_insertion_order": "false",
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
        }
        if threads is not None:
            config["threads"] = str(threads)
        try:
            self._connection = _quiet(duckdb.connect(config=config))
        except duckdb.Error as exc:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise ConfigurationError(
                f"DuckDB refuses memory_limit={memory_limit!r}, threads={threads!r}: {exc}. "
                f"Expected something like memory_limit='4GB', threads=2."
            ) from exc

    def register(self, name: str, rows: TableSource) -> ibis.Table:
        """Arrow tables and Parquet files are read where they are."""
        if isinstance(rows, EngineRows):
            return rows.expression
        self._connection.register(name, rows.dataset() if isinstance(rows, ParquetRows) else rows)
        return ibis.table(ibis.Schema.from_pyarrow(rows.schema), name=name)

    def keep(self, name: str, expression: ibis.Table) -> ibis.Table:
        """As a table of DuckDB's."""
        with self._within_limit():
            self._connection.execute(f'CREATE OR REPLACE TABLE "{name}" AS {_sql(expression)}')
        return ibis.table(expression.schema(), name=name)

    def drop(self, name: str) -> None:
        """Its memory is free afterwards."""
        self._connection.execute(f'DROP TABLE "{name}"')

    def arrow(self, expression: ibis.Table) -> pa.Table:
        """As one table in memory."""
        with self._within_limit():
            return self._connection.sql(_sql(expression)).to_arrow_table()

    def batches(self, expression: ibis.Table, rows: int = 50_000) -> Iterator[pa.RecordBatch]:
        """Read by a cursor of their own, which sees kept tables only."""
        with self._within_limit(), self._connection.cursor() as cursor:
            yield from _quiet(cursor).sql(_sql(expression)).to_arrow_reader(rows)

    def close(self) -> None:
        """Close the connection and remove what was spilled."""
        self._connection.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    @contextmanager
    def _within_limit(self) -> Iterator[None]:
        """Say what to do where DuckDB cannot put enough on disk to stay within its memory.

        Raises:
            ConfigurationError: it has too little.
        """
        try:
            yield
        except duckdb.OutOfMemoryException as exc:
            raise ConfigurationError(
                f"DuckDB has {self._limit} of memory, and one step needs more at once, with what can go to "
                f"{tempfile.gettempdir()} there: {str(exc).splitlines()[0]}. Allow more, for example "
                f"--memory-limit 2GB, or, in Python, fewer threads."
            ) from exc


def open_engine(
    name: str, *, memory_limit: str | None = None, threads: int | None = None
) -> RelationalEngine:
    """The engine of that name, of :data:`ENGINES`.

    Raises:
        ConfigurationError: there is none, or it cannot be started like this.
        MissingExtra: it is not installed.
    """
    if name == "duckdb":
        return DuckDBEngine(memory_limit=memory_limit, threads=threads)
    if name == "spark":
        from ragwheel.labels.engines.spark import SparkEngine

        return SparkEngine(memory_limit=memory_limit, threads=threads)
    raise ConfigurationError(f"There is no engine {name!r}; allowed: {', '.join(ENGINES)}.")


def _quiet(connection: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    """Switch off the progress bar, which DuckDB draws on the standard output that ``--json`` needs."""
    return connection.execute("SET enable_progress_bar = false")


def _memory() -> int:
    """Half of the machine's memory, at most 4 GiB."""
    return min(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2, _MOST_MEMORY)


@lru_cache(maxsize=256)  # compiling costs more than running on a small store; equal expressions, equal SQL
def _compiled(node: ibis.expr.operations.Node) -> str:
    return str(ibis.to_sql(node.to_expr(), dialect="duckdb"))


def _sql(expression: ibis.Table) -> str:
    return _compiled(expression.op())
