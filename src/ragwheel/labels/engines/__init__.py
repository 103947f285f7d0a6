"""Where the relational steps run: DuckDB in this process, or Spark."""
