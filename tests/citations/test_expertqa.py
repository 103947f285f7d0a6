"""The parser on answers of six real systems (ExpertQA, Malaviya et al., NAACL 2024)."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from ragwheel.citations import CitableChunk, extract


@pytest.fixture(scope="module")
def answers():
    root = os.environ.get("RAGWHEEL_TEST_DATA")
    path = Path(root or "", "expertqa_citations", "answers.jsonl")
    if not root or not path.is_file():
        pytest.skip("RAGWHEEL_TEST_DATA names no folder with expertqa_citations/answers.jsonl")
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_the_markers_of_real_answers_are_found_and_mapped(answers):
    wanted = right = invented = 0
    for answer in answers:
        urls = [line.split("] ", 1)[1] for line in answer["attribution"]]
        candidates = [CitableChunk("r", n, "web", url, None) for n, url in enumerate(urls, 1)]
        found = {
            (c.start, n) for c in extract(answer["answer"], None, candidates).citations for n in [c.chunk]
        }
        truth = {
            (match.start(), urls[int(n) - 1] if 0 < int(n) <= len(urls) else None)
            for match in re.finditer(r"\[(\d+(?:,\d+)*)\]", answer["answer"])
            for n in match[1].split(",")
        }
        wanted += len(truth)
        right += len(truth & found)
        invented += len(found - truth)
    assert wanted > 2900
    assert right / wanted >= 0.995, f"{right} of {wanted}"
    assert invented == 0


def test_the_markers_of_each_claim_are_those_that_the_annotators_had(answers):
    """`evidence[].marker` was made by the dataset's authors, with their own parser."""
    claims = same = 0
    for answer in answers:
        candidates = [CitableChunk("r", n, "web", f"c{n}", None) for n in range(1, 100)]
        for claim in answer["claims"]:
            truth = {evidence["marker"] for evidence in claim["evidence"]}
            if truth:
                claims += 1
                same += truth == {c.rank for c in extract(claim["text"], None, candidates).citations}
    assert claims > 1000
    assert same / claims >= 0.99, f"{same} of {claims}"
