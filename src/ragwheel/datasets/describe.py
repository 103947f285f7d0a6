"""What a dataset folder says about itself: ``manifest.json`` and the dataset card."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime, timezone
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from ragwheel.datasets.card_details import evidence_rows, example_row, renewed, size_category
from ragwheel.datasets.formats import ALWAYS_BUILT
from ragwheel.datasets.options import SPLITS, BuildOptions, BuildReport
from ragwheel.datasets.parts import PARTITIONED, part_files, pattern
from ragwheel.datasets.writer import MANIFEST, checksums
from ragwheel.files import sha256_of
from ragwheel.labels.model.wording import channel_sentence
from ragwheel.labels.policy import Policy
from ragwheel.labels.traces.read import StoreTables

__all__ = ["default_config", "recount_card", "write_card", "write_manifest"]

Rows = Mapping[str, Mapping[str, int]]  # by config and split


def write_manifest(
    folder: Path,
    database: str,
    tables: StoreTables,
    options: BuildOptions,
    policy: Policy,
    report: BuildReport,
) -> None:
    """Write ``manifest.json``, last of all files. It has no time of its own: equal builds, equal bytes."""
    manifest = {
        "made_by": "ragwheel",
        "layout": PARTITIONED if (folder / "splits.parquet").is_dir() else 1,
        "ragwheel": _version("ragwheel"),
        "engines": {name: _version(name) for name in ("ibis-framework", "duckdb", "pyarrow")},
        "read": {
            "database": database,
            "schema_version": tables.schema_version,
            "spans": tables.spans,
            "judgments": tables.judgment.num_rows,
            "chunk_versions": tables.chunk.num_rows,
            "from": _time(tables.from_ns),
            "until": _time(tables.until_ns),
        },
        "configuration": {
            "formats": sorted({*options.formats, *ALWAYS_BUILT}),
            "negatives": options.negatives,
            "seed": options.seed,
            "dev": options.dev,
            "test": options.test,
            "sticky_from": str(report.sticky_from) if report.sticky_from else None,
            "policy": policy.model_dump(),
        },
        "rows": report.rows,
        "groups": report.groups,
        "examples": report.examples,
        "evidence": report.evidence,
        "grades": report.grades,
        "trust": report.trust,
        "examination": report.examination,
        "reliability": report.reliability,
        "negatives": report.negatives,
        "dropped": report.dropped,
        "warnings": list(report.warnings),
        "sha256": checksums(folder),
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n", "utf-8")


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "unknown"


def _time(ns: int | None) -> str | None:
    if ns is None:
        return None
    return datetime.fromtimestamp(ns // 1_000_000_000, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


_COLUMNS = {
    "triplets": ("`anchor`, `positive`, `negative`", "texts; for triplet and in-batch-negative losses"),
    "positives": ("`anchor`, `positive`", "texts; also of queries without a usable negative"),
    "ntuples": ("`anchor`, `positive`, `negative_1` …", "texts; one row per positive"),
    "pairs": (
        "`query`, `document`, `label`",
        "`label` = grade / 5, from 0 (irrelevant) to 1 (fully answers)",
    ),
    "chunk_pairs": ("`anchor`, `positive`", "two chunks: more like the first was asked for, the second used"),
    "lists": ("`query`, `docs`, `labels`", "the graded chunks of one query, best first; labels as in pairs"),
}


def write_card(folder: Path, tables: StoreTables, report: BuildReport) -> None:
    """Write ``README.md``: the card whose head tells ``datasets.load_dataset`` what is where."""
    configs, rows = _counts(folder, report.rows)
    card = f"""---
{_infos(folder, report.rows)}configs:
{configs}
{size_category(report.rows)}license: other
license_name: that-of-the-sources
language: und
tags:
- ragwheel
- retrieval
- relevance
---

# Training data from the traces of a RAG app

Built by ragwheel from {tables.retrieval.num_rows} retrievals and {tables.signal.num_rows} signals
between {_time(tables.from_ns)} and {_time(tables.until_ns)}.

| config | columns | rows: train / dev / test | what it is |
|---|---|---|---|
{rows}

```python
from datasets import load_dataset
train = load_dataset("path/to/this/folder", "{default_config(report.rows)}", split="train")
```

The first row:

{example_row(folder, default_config(report.rows))}
**Labels** are beliefs drawn from what an answer cited and what people did, not ground truth:
`provenance.parquet` says for every chunk of every row (`config`, `split`, `row`) why, with span ids.

**Splits** go by time over families of near-identical queries; no family stands in two splits, and what
people did in a session that a test query belongs to is not used for training. `splits.parquet` keeps
them for later builds.

## Evidence

{_table(("kind", "times | what it means"), evidence_rows(report.evidence))}

## Learned trust

{_trust(report.trust)}

## Negatives by strategy

{_table(("strategy", "usable chunks"), report.negatives)}

## Left out

{_table(("rule", "times"), report.dropped)}

## Sharing

The texts are those of the app's own sources, and questions that people asked: whoever shares this folder
shares them, under the licence of the sources. Write that licence, and the languages of the texts, into the
head of this card.
"""
    (folder / "README.md").write_text(card, "utf-8")


def default_config(rows: Rows) -> str:
    """The config that is opened without a name: triplets, or where there are none the first with rows."""
    return next((name for name, counts in rows.items() if sum(counts.values())), next(iter(rows)))


def recount_card(folder: Path, before: Rows, after: Rows) -> None:
    """Have a folder's card, where it has one, count the rows ``after``; what a person wrote stays."""
    path = folder / "README.md"
    if not path.is_file():
        return
    card = path.read_text("utf-8")
    for old, new in zip(_counts(folder, before), _counts(folder, after), strict=True):
        card = card.replace(old, new, 1)
    card = renewed(card, folder, default_config(after), after)
    card = _INFOS.sub("", card, count=1).replace("\nconfigs:", f"\n{_infos(folder, after)}configs:", 1)
    path.write_text(card, "utf-8")


_INFOS: Final = re.compile(r"^dataset_info:\n(?:- config_name: .*\n  description: .*\n)+", re.MULTILINE)


def _infos(folder: Path, rows: Rows) -> str:
    """The part of a card's head that differs between two folders with different rows.

    ``datasets`` finds rows that it has cached by the name of the folder, without its parents, and by the
    card's head: without this, a second build would open as the first.
    """
    lines = ["dataset_info:"]
    for name, counts in rows.items():
        if sum(counts.values()):
            tables = sorted((folder / name).glob("*.parquet"))
            digests = [sha256_of(part) for path in tables for part in part_files(path)]
            digest = sha256("".join(digests).encode()).hexdigest()
            of = ", ".join(f"{n} {split}" for split, n in counts.items())
            lines += [f"- config_name: {name}", f"  description: rows {of}; sha256 {digest}"]
    return "\n".join(lines) + "\n" if len(lines) > 1 else ""


def _counts(folder: Path, rows: Rows) -> tuple[str, str]:
    """The two places of a card that count rows, its head and its table: the configs that have any."""
    default = default_config(rows)
    listed = {name: counts for name, counts in rows.items() if sum(counts.values()) or name == default}
    configs = (_config(folder, name, counts, default=name == default) for name, counts in listed.items())
    table = (
        f"| `{name}` | {_COLUMNS[name][0]} | {' / '.join(map(str, counts.values()))} | {_COLUMNS[name][1]} |"
        for name, counts in listed.items()
    )
    return "\n".join(configs), "\n".join(table)


def _config(folder: Path, name: str, counts: Mapping[str, int], *, default: bool) -> str:
    """A config and its splits; one without rows is left out, for ``datasets`` refuses to open it."""
    splits = [split for split in SPLITS if counts[split]] or SPLITS[:1]
    paths = {split: pattern(folder, f"{name}/{split}.parquet") for split in splits}
    files = "\n".join(f"  - split: {split}\n    path: {path}" for split, path in paths.items())
    head = f"- config_name: {name}\n" + ("  default: true\n" if default else "")
    return f"{head}  data_files:\n{files}"


def _trust(trust: Mapping[str, Mapping[str, float]]) -> str:
    """Return a line per instrument, the log-likelihood ratio of its event learned and in the policy."""
    if not trust:
        return "Nothing was learned: every kind of evidence weighs what the policy says."
    lines = "\n".join(f"* {channel_sentence(name, numbers)}" for name, numbers in trust.items())
    return f"How much more often relevant chunks get it than others, as ln(ratio):\n\n{lines}"


def _table(head: tuple[str, str], rows: Mapping[str, Any]) -> str:
    columns = 1 + len(head[1].split(" | "))
    body = [f"| {name} | {value} |" for name, value in rows.items()] or [
        "| none | 0 |" + " |" * (columns - 2)
    ]
    return "\n".join([f"| {head[0]} | {head[1]} |", "|---" * columns + "|", *body])
