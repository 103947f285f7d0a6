"""Fill a journal that nobody merges: ``python -m capture.backlog FOLDER CALLS`` in ragwheel's environment."""

from __future__ import annotations

import sys
from pathlib import Path

from capture.peers.ours import fill_backlog
from capture.workload import Workload, make_retriever, query_text

if __name__ == "__main__":
    fill_backlog(
        Path(sys.argv[1]),
        make_retriever(Workload("W40"), "plain"),
        (query_text(i % 10_000, "b") for i in range(int(sys.argv[2]))),
    )
