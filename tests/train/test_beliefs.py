"""Beliefs about chunks of which there were several versions."""

from __future__ import annotations

from ragwheel.datasets import BuildOptions, build, open_dataset
from ragwheel.testing import TraceStore
from ragwheel.train.beliefs import beliefs, beliefs_of_rows

VERSIONS = 5


def test_of_several_versions_of_a_chunk_the_belief_about_the_newest_counts(tmp_path):
    newest = {}
    with TraceStore(tmp_path / "traces.db") as store:
        for n in range(30):
            for version in range(VERSIONS):
                text = f"Part {n} of the engine, as edition {version} of the manual has it: {n * 7} bolts."
                newest[f"c{n}"] = store.chunk(f"c{n}", text)
                for person in range(3):
                    store.ask(
                        f"how does part {n} work", [f"c{n}", f"d{n}", f"e{n}"], cited=[1],
                        prompted=[1, 2, 3], user_id=f"u{person}",
                    )  # fmt: skip
        path = store.path
    options = BuildOptions(dev=0.2, test=0.2)
    dataset = open_dataset(build(path, tmp_path / "set", options=options).out)
    pairs = [row for split in ("train", "dev") for row in dataset.provenance("pairs", split).to_pylist()]
    numbers = {}
    for row in pairs:
        numbers.setdefault((row["query_key"], row["chunk_id"]), set()).add(int(row["chunk_version"]))
    assert sum(len(some) > 1 for some in numbers.values()) > 5  # the rows are of several versions
    assert any(
        max(some) != newest[chunk] for (_, chunk), some in numbers.items() if chunk in newest
    )  # a number says nothing of age
    for believed in (beliefs(dataset, path), beliefs_of_rows(dataset, path)):
        rows = [row for split in ("train", "dev") for row in believed[split] if row.chunk_id in newest]
        assert len(rows) > 15
        assert all(row.version == newest[row.chunk_id] for row in rows)
        assert all(row.belief > 0.5 for row in rows)
