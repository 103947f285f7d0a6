"""How long an import of many spans takes, and how much memory.

Run ``python benchmarks/importing.py --spans 100000``.

Makes a file of OpenInference spans as Phoenix's REST API gives them, one retrieval of 40 chunks a trace with
its root, over 5,000 passages of 1,000 characters that are retrieved by Zipf's law; imports it, and imports it
again. The import runs in a process of its own, whose peak memory is read from the system.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CHUNKS = 40
PASSAGES = 5_000
CHARS = 1_000


def write_spans(path: Path, n: int) -> None:
    """Write n traces of two spans each."""
    rng = random.Random(7)
    words = [f"word{i}" for i in range(2_000)]
    passages = [" ".join(rng.choices(words, k=CHARS // 8))[:CHARS] for _ in range(PASSAGES)]
    weights = [1 / rank for rank in range(1, PASSAGES + 1)]
    with path.open("w", encoding="utf-8") as file:
        for number in range(n):
            picked = list(dict.fromkeys(rng.choices(range(PASSAGES), weights, k=4 * CHUNKS)))[:CHUNKS]
            trace = f"{number + 1:032x}"
            documents: dict[str, str | float] = {}
            for position, which in enumerate(picked):
                documents[f"retrieval.documents.{position}.document.id"] = f"p{which}"
                documents[f"retrieval.documents.{position}.document.content"] = passages[which]
                documents[f"retrieval.documents.{position}.document.score"] = 1 / (position + 1)
            times = {"start_time": "2026-11-28T09:00:00+00:00", "end_time": "2026-11-28T09:00:01+00:00"}
            question = f"question {number}"
            root = {"input.value": question, "output.value": "So [1].", "session.id": f"s{number // 5}"}
            spans = (
                ("ask", "CHAIN", None, f"{2 * number + 1:016x}", root),
                (
                    "kb",
                    "RETRIEVER",
                    f"{2 * number + 1:016x}",
                    f"{2 * number + 2:016x}",
                    {"input.value": question, **documents},
                ),
            )
            for name, kind, parent, span, attributes in spans:
                context = {"trace_id": trace, "span_id": span}
                record = {"name": name, "span_kind": kind, "parent_id": parent, "context": context, **times}
                file.write(json.dumps({**record, "attributes": attributes}) + "\n")


def import_once(file: Path, db: Path) -> None:
    """Import the file; print seconds, peak memory and what was new, as JSON."""
    from ragwheel.importing import import_traces

    start = time.perf_counter()
    report = import_traces(db, [file])
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"seconds": round(seconds, 1), "peak_mb": peak // 2**20, "new": dict(report.new)}))


def main() -> None:
    """Make the file, import it twice."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spans", type=int, default=10_000, help="retrieval spans")
    parser.add_argument("--import", dest="file", nargs=2, metavar=("FILE", "DB"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.file:
        import_once(Path(options.file[0]), Path(options.file[1]))
        return
    with tempfile.TemporaryDirectory() as folder:
        file, db = Path(folder) / "spans.jsonl", Path(folder) / "traces.db"
        write_spans(file, options.spans)
        print(f"{options.spans:,} retrievals of {CHUNKS} chunks, {file.stat().st_size >> 20:,} MB of JSON")
        for title in ("first import", "second import"):
            command = [sys.executable, __file__, "--import", str(file), str(db)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            print(f"{title}: {done.stdout.strip()}")


if __name__ == "__main__":
    main()
