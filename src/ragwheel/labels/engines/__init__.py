"""Where the relational steps run: DuckDB in this process, or Spark."""

from __future__ import annotations

__all__: list[str] = []
