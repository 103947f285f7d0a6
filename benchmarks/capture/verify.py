"""What is really stored? ``python -m capture.verify JOB RETURNED`` in the peer's environment, after the end.

Counts which of the calls that returned are in the store, and looks into a sample whether every
document is whole: content, id, source and score.
"""

from __future__ import annotations

import itertools
import json
import re
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from capture.job import Job
from capture.peers import load
from capture.workload import Workload, metadata, score

__all__ = ["lost_of", "number_in", "strings", "whole"]

QUERY = re.compile(r"\bq(\d{7}) how do I")
SAMPLE = 20


def number_in(text: str) -> int | None:
    """The number of the query in ``text``."""
    found = QUERY.search(text)
    return int(found.group(1)) if found else None


def strings(value: Any, depth: int = 0) -> Iterator[str]:
    """Every string in ``value``, also in JSON inside strings; numbers as their shortest representation."""
    if isinstance(value, str):
        yield value
        if depth < 6 and value[:1] in ("{", "[", '"'):
            try:
                inner = json.loads(value)
            except ValueError:
                return
            yield from strings(inner, depth + 1)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield str(key)
            yield from strings(item, depth)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from strings(item, depth)
    elif value is not None:
        yield repr(value)


def whole(record: Any, workload: Workload, number: int) -> dict[str, int]:
    """How many of the ``k`` documents of query ``number`` are in ``record``, by what is needed of each."""
    found = set(strings(record))
    long = [text for text in found if len(text) > 2 * workload.shape.characters]
    ranked = list(enumerate(workload.row(number)))
    texts = workload.texts(number)
    return {
        "k": len(ranked),
        "contents": sum(text in found or any(text in other for other in long) for text in texts),
        "ids": sum(f"chunk-{j:05d}" in found for _, j in ranked),
        "sources": sum(metadata(j)["source"] in found for _, j in ranked),
        "scores": sum(repr(score(j, r)) in found for r, j in ranked),
        "json_bytes": len(json.dumps(record)),
    }


def lost_of(returned: int, stored: Iterable[int]) -> dict[str, Any]:
    """Which of the calls ``0 … returned - 1`` are not among ``stored``."""
    numbers, twice = set(), 0
    for number in stored:
        twice += number in numbers
        numbers.add(number)
    lost = [i for i in range(returned) if i not in numbers]
    return {
        "returned": returned,
        "stored": len(numbers),
        "twice": twice,
        "lost": len(lost),
        "first_lost": lost[0] if lost else None,
    }


def main(job: Job, returned: int) -> dict[str, Any]:
    """Read everything back once, and a sample of at most ``SAMPLE`` records in full."""
    peer = load(job.peer)
    workload = Workload(job.workload)
    sampled: list[dict[str, int]] = []
    numbers: list[int] = []
    quick = peer.read_queries(job.path)
    records = peer.read(job.path)
    for record in itertools.islice(records, SAMPLE) if quick is not None else records:
        number = number_in(record if isinstance(record, str) else json.dumps(record))
        if number is None:
            continue
        if quick is None:
            numbers.append(number)
        if len(sampled) < SAMPLE:
            sampled.append(whole(record, workload, number))
    if quick is not None:
        numbers = [n for n in map(number_in, quick) if n is not None]
    worst = {key: min(s[key] for s in sampled) for key in sampled[0]} if sampled else None
    return {**lost_of(returned, numbers), "sampled": len(sampled), "worst": worst}


if __name__ == "__main__":
    print("VERIFY " + json.dumps(main(Job.loads(sys.argv[1]), int(sys.argv[2]))), flush=True)
