"""The relational steps on Apache Spark: the same Ibis expressions, compiled to Spark's SQL.

Spark 4.0 with Java 17. In a process that has a session (Databricks, ``spark-submit``) that one is used, and
left running; else one is started in this process, with as many workers as there are cores.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

import ibis
import pyarrow as pa

from ragwheel.errors import ConfigurationError, MissingExtra
from ragwheel.labels.engines.engine import EngineRows, RelationalEngine
from ragwheel.labels.engines.workers import Step, Workers
from ragwheel.labels.traces.read import TableSource
from ragwheel.labels.traces.read_parquet import ParquetRows

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

__all__ = ["SparkEngine"]

#: What the answers depend on; set for as long as the engine is open.
_SETTINGS: Final = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.caseSensitive": "true",
    "spark.sql.execution.arrow.maxRecordsPerBatch": "2000",  # of plans of query groups, some 10 kB each
}


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
        self.session = running or _started(memory_limit, threads)
        self._before = {name: self.session.conf.get(name, None) for name in _SETTINGS}
        for name, value in _SETTINGS.items():
            self.session.conf.set(name, value)
        self._views: set[str] = set()

    @property
    def workers(self) -> Workers:
        """Spark's Python workers; they need the same ragwheel installed."""
        return _SparkWorkers(self)

    def register(self, name: str, rows: TableSource) -> ibis.Table:
        """Parquet files are read by Spark itself where it can reach them, else sent to it."""
        if isinstance(rows, EngineRows):
            return rows.expression
        urls = rows.urls() if isinstance(rows, ParquetRows) else []
        if urls:
            from pyspark.sql.pandas.types import from_arrow_schema

            schema = from_arrow_schema(rows.schema)  # a column that an earlier version did not write is null
            frame = self.session.read.schema(schema).parquet(*urls)
        else:
            table = rows.dataset().to_table() if isinstance(rows, ParquetRows) else rows
            frame = self.session.createDataFrame(table)
        return self._view(name, frame, ibis.Schema.from_pyarrow(rows.schema))

    def keep(self, name: str, expression: ibis.Table) -> ibis.Table:
        """On the workers' memory and disks, with the plan that led to it cut off."""
        frame = self.frame(expression).localCheckpoint(eager=True)
        return self._view(name, frame, expression.schema())

    def drop(self, name: str) -> None:
        """Spark frees it when nothing refers to it any more."""
        self.session.catalog.dropTempView(name)
        self._views.discard(name)

    def arrow(self, expression: ibis.Table) -> pa.Table:
        """Collected into this process."""
        return self.frame(expression).toArrow().cast(expression.schema().to_pyarrow())

    def batches(self, expression: ibis.Table, rows: int = 50_000) -> Iterator[pa.RecordBatch]:
        """In the order that the expression says; one of Spark's partitions at a time is in this process."""
        schema = expression.schema().to_pyarrow()
        nested = any(pa.types.is_struct(field.type) or pa.types.is_list(field.type) for field in schema)
        remaining = iter(self.frame(expression).toLocalIterator())
        while some := list(islice(remaining, rows)):
            if nested:
                yield pa.RecordBatch.from_pylist([row.asDict(recursive=True) for row in some], schema)
            else:
                columns = [pa.array(column, field.type) for column, field in zip(zip(*some), schema)]
                yield pa.RecordBatch.from_arrays(columns, schema=schema)

    def close(self) -> None:
        """Drop the tables; stop the session if it was started here, else leave it as it was found."""
        for name in sorted(self._views):
            self.session.catalog.dropTempView(name)
        for name, value in self._before.items():
            if value is None:
                self.session.conf.unset(name)
            else:
                self.session.conf.set(name, value)
        if self._owned:
            self.session.stop()

    def mapped(self, name: str, frame: DataFrame, step: Step, schema: pa.Schema) -> ibis.Table:
        """Run a step on each of the frame's partitions, and keep what it gives."""
        from pyspark.sql.pandas.types import from_arrow_schema

        result = frame.mapInArrow(step, from_arrow_schema(schema)).localCheckpoint(eager=True)
        return self._view(name, result, ibis.Schema.from_pyarrow(schema))

    def frame(self, expression: ibis.Table) -> DataFrame:
        """What Spark computes for an expression."""
        return self.session.sql(str(ibis.pyspark.compile(expression)))

    def _view(self, name: str, frame: DataFrame, schema: ibis.Schema) -> ibis.Table:
        frame.createOrReplaceTempView(name)
        self._views.add(name)
        return ibis.table(schema, name=name)


class _SparkWorkers(Workers):
    def __init__(self, engine: SparkEngine) -> None:
        self._engine = engine

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
        frame = self._engine.frame(rows)
        shares = frame.repartition(1) if by is None else frame.repartition(by)
        return self._engine.mapped(name, shares.sortWithinPartitions(*order), step, schema)

    def share(self, path: Path) -> Callable[[], Path]:
        self._engine.session.sparkContext.addFile(str(path))
        return partial(_sent, path.name)


def _sent(name: str) -> Path:
    """Where a file that was sent to all machines is on this one."""
    from pyspark import SparkFiles

    return Path(SparkFiles.get(name))


@contextmanager
def _ctrl_c_stays_ours() -> Iterator[None]:
    """Spark takes over SIGINT when it starts, and fails in its handler once it has been stopped."""
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread() and before is not None:
            signal.signal(signal.SIGINT, before)


@contextmanager
def _this_python() -> Iterator[None]:
    """Have a session's workers run the Python of this process, unless the environment names another."""
    if "PYSPARK_PYTHON" in os.environ:
        yield
        return
    os.environ["PYSPARK_PYTHON"] = sys.executable
    try:
        yield
    finally:
        del os.environ["PYSPARK_PYTHON"]


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
        with _ctrl_c_stays_ours(), _this_python():
            return builder.getOrCreate()
    except (PySparkException, OSError) as exc:
        raise ConfigurationError(
            f"Spark does not start: {exc}. It needs Java 17 or 21, found by JAVA_HOME or PATH: java -version"
        ) from exc
