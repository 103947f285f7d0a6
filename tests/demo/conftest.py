"""The demo as a person starts it, on a collection small enough to read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

SUBJECTS = ("tea", "coffee", "milk", "granite", "basalt", "copper", "birch", "maple", "trout", "heron")
ASPECTS = ("origin", "colour", "weight", "price", "history", "danger")


@pytest.fixture(scope="session")
def tiny(tmp_path_factory) -> Path:
    """Sixty passages, one question for each: `what is the colour of tea`."""
    folder = tmp_path_factory.mktemp("collections") / "tiny"
    folder.mkdir()
    passages, queries, qrels = [], [], ["query-id\tcorpus-id\tscore"]
    for subject in SUBJECTS:
        for aspect in ASPECTS:
            id = f"{subject}-{aspect}"
            text = f"About the {aspect} of {subject}: described here at length, for {subject} alone."
            passages.append({"_id": id, "title": f"{subject}, {aspect}", "text": text})
            queries.append({"_id": f"q-{id}", "text": f"what is the {aspect} of {subject}?"})
            qrels.append(f"q-{id}\t{id}\t1")
    for name, rows in (("corpus", passages), ("queries", queries)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "qrels.tsv").write_text("\n".join(qrels) + "\n")
    return folder
