"""Where the relational steps run: DuckDB in this process.

Everything above this module speaks Ibis only, in terms that other engines compile too: integer
nanoseconds, native lists of structs instead of JSON, windows with a total order, sums of whole numbers
(a sum of floats depends on the order of the rows).
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from types import TracebackType

import duckdb
import ibis
import pyarrow as pa

from ragwheel.errors import ConfigurationError

__all__ = ["Engine"]


class Engine:
    """Named tables and the SQL that Ibis writes for DuckDB; a context manager that removes what it spilled.

    Ibis only compiles here: it is asked for SQL, never for a connection, so that neither side's changes
    of client API come between them.

    Args:
        memory_limit: as DuckDB reads it, for example ``"4GB"``; None: its own default.
        threads: None: one per core.
    """

    def __init__(self, *, memory_limit: str | None = None, threads: int | None = None) -> None:
        self._folder = tempfile.mkdtemp(prefix="ragwheel-engine-")
        config: dict[str, str | bool | int | float | list[str]] = {
            "temp_directory": self._folder,
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
        }
        if memory_limit is not None:
            config["memory_limit"] = memory_limit
        if threads is not None:
            config["threads"] = str(threads)
        try:
            self._connection = duckdb.connect(config=config)
        except duckdb.Error as exc:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise ConfigurationError(
                f"DuckDB refuses memory_limit={memory_limit!r}, threads={threads!r}: {exc}. "
                f"Expected something like memory_limit='4GB', threads=2."
            ) from exc

    def register(self, name: str, table: pa.Table) -> ibis.Table:
        """An Arrow table under a name; a table of the same name is replaced."""
        self._connection.register(name, table)
        return ibis.table(ibis.Schema.from_pyarrow(table.schema), name=name)

    def keep(self, name: str, expression: ibis.Table) -> ibis.Table:
        """Compute an expression now and keep the rows under a name; a table of the same name is replaced."""
        self._connection.execute(f'CREATE OR REPLACE TABLE "{name}" AS {_sql(expression)}')
        return ibis.table(expression.schema(), name=name)

    def drop(self, name: str) -> None:
        """Forget a kept table."""
        self._connection.execute(f'DROP TABLE "{name}"')

    def arrow(self, expression: ibis.Table) -> pa.Table:
        """All rows; in no order unless the expression says one."""
        return self._connection.sql(_sql(expression)).to_arrow_table()

    def batches(self, expression: ibis.Table, rows: int = 50_000) -> Iterator[pa.RecordBatch]:
        """The rows, some at a time; of kept tables only, for another cursor reads them."""
        with self._connection.cursor() as cursor:
            yield from cursor.sql(_sql(expression)).to_arrow_reader(rows)

    def count(self, expression: ibis.Table) -> int:
        """How many rows."""
        return int(self.arrow(expression.agg(n=expression.count()))["n"][0].as_py())

    def close(self) -> None:
        """Give back memory and disk."""
        self._connection.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _sql(expression: ibis.Table) -> str:
    return str(ibis.to_sql(expression, dialect="duckdb"))
