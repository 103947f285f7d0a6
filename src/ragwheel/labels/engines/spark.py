"""The relational steps on Apache Spark: the same Ibis expressions, compiled to Spark's SQL.

Spark 4.0 with Java 17. In a process that has a session (Databricks, ``spark-submit``) that one is used, and
left running; else one is started in this process, with as many workers as there are cores.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Final

import ibis
import pyarrow as pa

from ragwheel.errors import ConfigurationError, MissingExtra
from ragwheel.labels.engines.engine import EngineRows, RelationalEngine
from ragwheel.labels.traces.read import TableSource
from ragwheel.labels.traces.read_parquet import ParquetRows

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

__all__ = ["SparkEngine"]

#: What the answers depend on; set for as long as the engine is open.
_SETTINGS: Final = {"spark.sql.session.timeZone": "UTC", "spark.sql.caseSensitive": "true"}


class SparkEngine(RelationalEngine):
    """A Spark session.

    Args:
        memory_limit: of a session that is started here, for example ``"4GB"``.
        threads: of a session that is started here; None: one per core.
        session: one that is running; None: the active one, else one that is started and stopped again.

    Raises:
        MissingExtra: pyspark is not installed.
        ConfigurationError: Spark does not start.
    """

    def __init__(
        self,
        *,
        memory_limit: str | None = None,
        threads: int | None = None,
        session: SparkSession | None = None,
    ) -> None:
        try:
            from pyspark.sql import SparkSession
        except ImportError as exc:
            raise MissingExtra(
                "The engine spark needs pyspark, not installed in this Python. "
                "Next: pip install 'ragwheel[spark]'"
            ) from exc
        running = session or SparkSession.getActiveSession()
        self._owned = running is None
        self._spark = running or _started(memory_limit, threads)
        self._before = {name: self._spark.conf.get(name, None) for name in _SETTINGS}
        for name, value in _SETTINGS.items():
            self._spark.conf.set(name, value)
        self._views: set[str] = set()

    def register(self, name: str, rows: TableSource) -> ibis.Table:
        """Parquet files are read by Spark itself where it can reach them, else sent to it."""
        if isinstance(rows, EngineRows):
            return rows.expression
        urls = rows.urls() if isinstance(rows, ParquetRows) else []
        if urls:
            from pyspark.sql.pandas.types import from_arrow_schema

            schema = from_arrow_schema(rows.schema)  # a column that an earlier version did not write is null
            frame = self._spark.read.schema(schema).parquet(*urls)
        else:
            table = rows.dataset().to_table() if isinstance(rows, ParquetRows) else rows
            frame = self._spark.createDataFrame(table)
        return self._view(name, frame, ibis.Schema.from_pyarrow(rows.schema))

    def keep(self, name: str, expression: ibis.Table) -> ibis.Table:
        """On the workers' memory and disks, with the plan that led to it cut off."""
        frame = self._frame(expression).localCheckpoint(eager=True)
        return self._view(name, frame, expression.schema())

    def drop(self, name: str) -> None:
        """Spark frees it when nothing refers to it any more."""
        self._spark.catalog.dropTempView(name)
        self._views.discard(name)

    def arrow(self, expression: ibis.Table) -> pa.Table:
        """Collected into this process."""
        return self._frame(expression).toArrow().cast(expression.schema().to_pyarrow())

    def batches(self, expression: ibis.Table, rows: int = 50_000) -> Iterator[pa.RecordBatch]:
        """In the order that the expression says; one of Spark's partitions at a time is in this process."""
        schema = expression.schema().to_pyarrow()
        nested = any(pa.types.is_struct(field.type) or pa.types.is_list(field.type) for field in schema)
        remaining = iter(self._frame(expression).toLocalIterator())
        while some := list(islice(remaining, rows)):
            if nested:
                yield pa.RecordBatch.from_pylist([row.asDict(recursive=True) for row in some], schema)
            else:
                columns = [pa.array(column, field.type) for column, field in zip(zip(*some), schema)]
                yield pa.RecordBatch.from_arrays(columns, schema=schema)

    def close(self) -> None:
        """Drop the tables; stop the session if it was started here, else leave it as it was found."""
        for name in sorted(self._views):
            self._spark.catalog.dropTempView(name)
        for name, value in self._before.items():
            if value is None:
                self._spark.conf.unset(name)
            else:
                self._spark.conf.set(name, value)
        if self._owned:
            self._spark.stop()

    def _frame(self, expression: ibis.Table) -> DataFrame:
        return self._spark.sql(str(ibis.pyspark.compile(expression)))

    def _view(self, name: str, frame: DataFrame, schema: ibis.Schema) -> ibis.Table:
        frame.createOrReplaceTempView(name)
        self._views.add(name)
        return ibis.table(schema, name=name)


@contextmanager
def _ctrl_c_stays_ours() -> Iterator[None]:
    """Spark takes over SIGINT when it starts, and fails in its handler once it has been stopped."""
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread() and before is not None:
            signal.signal(signal.SIGINT, before)


def _started(memory_limit: str | None, threads: int | None) -> SparkSession:
    from pyspark.errors import PySparkException
    from pyspark.sql import SparkSession

    workers = threads or os.cpu_count() or 1
    builder = (
        SparkSession.builder.appName("ragwheel build")
        .master(os.environ.get("SPARK_MASTER") or f"local[{workers}]")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.sql.shuffle.partitions", str(4 * workers))
        .config("spark.driver.maxResultSize", "0")
    )
    if memory_limit is not None:
        memory = memory_limit.lower().removesuffix("b").removesuffix("i")  # Spark writes 4g
        builder = builder.config("spark.driver.memory", memory)
    try:
        with _ctrl_c_stays_ours():
            return builder.getOrCreate()
    except (PySparkException, OSError) as exc:
        raise ConfigurationError(
            f"Spark does not start: {exc}. It needs Java 17 or 21, found by JAVA_HOME or PATH: java -version"
        ) from exc
