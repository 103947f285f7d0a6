"""Medians, differences and losses come out as a hand calculation says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from capture import results, summary


def result(peer: str, mode: str, number: int, p50: float, **more: Any) -> dict[str, Any]:
    phase = {"p50_us": p50, "p99_us": 2 * p50, "cpu_p50_us": p50}
    phases = {"paced": phase, "flat": phase}
    return {"test": "latency", "peer": peer, "mode": mode, "round": number, "phases": phases, **more}


@pytest.mark.parametrize(
    ("values", "digits", "expected"),
    [
        ([3.0, 1.0, 2.0], 0, "2 [1–3]"),
        ([1.0, 2.0], 1, "1.5 [1.0–2.0]"),
        ([1234.5], 0, "1,234"),
        ([None, 4.0], 0, "4"),
        ([], 0, "–"),
    ],
)
def test_spread(values: list[float | None], digits: int, expected: str) -> None:
    assert results.spread(values, digits) == expected


def test_added_pairs_by_round_whatever_the_order() -> None:
    bare = [result("x", "bare", 1, 200), result("x", "bare", 0, 100)]
    peer = [result("x", "peer", 0, 150), result("x", "peer", 1, 270), result("x", "peer", 2, 999)]
    assert results.added(bare, peer, "paced", "p50_us") == [50, 70]


def write(path: Path, lines: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    return path


def test_latency_is_shown_as_a_multiple_of_the_bare_span(tmp_path: Path) -> None:
    lines: list[dict[str, Any]] = [{"test": "machine", "cores": 2}]
    for peer, took in (("span_only", 120), ("ragwheel", 150)):
        lines += [result(peer, "bare", 0, 100), result(peer, "peer", 0, took)]
    text = summary.summarise(write(tmp_path / "r.jsonl", lines))
    assert "| `ragwheel` | 50 | 100 | 50 | 100 | 50 | 2.5 | 1 |" in text
    assert "| `span_only` | 20 | 40 | 20 | 40 | 20 | 1.0 | 1 |" in text


def test_what_was_lost_does_not_count_as_throughput_nor_as_a_retrieval_on_disk(tmp_path: Path) -> None:
    figures = {
        "done": 1000,
        "durable_s": 2.0,
        "cpu_s": 0.5,
        "server_cpu_s": 0.0,
        "rss_peak_mb": 50,
        "rss_before_mb": 40,
    }
    burst = {
        "test": "burst",
        "peer": "hand_batch",
        "mode": "peer",
        "round": 0,
        "stored_bytes": 80_000,
        **figures,
    }
    lines = [
        {**burst, "verify": {"returned": 1000, "lost": 200}, "curve": [[0, 40, 0], [1, 55, 9], [2, 50, 9]]}
    ]
    text = summary.summarise(write(tmp_path / "r.jsonl", lines))
    assert "| `hand_batch` | 400 | – | 0.50 | 0.00 | 50 | 10 | 100 | 200 | 1,000 × 1 |" in text
    assert "| 40 | 40 | 40 | 55 | 55 | 50 | 55 | 2 |" in text


def test_what_did_not_run_is_named(tmp_path: Path) -> None:
    lines = [{"test": "kill", "peer": "mlflow", "round": 0, "error": "RuntimeError: no server"}]
    assert "- `mlflow` kill: RuntimeError: no server" in summary.summarise(write(tmp_path / "r.jsonl", lines))


def test_no_results_say_what_to_type() -> None:
    with pytest.raises(SystemExit, match=r"run benchmarks/capture/run\.py --quick first"):
        results.latest()


def test_a_missed_bar_says_by_how_much(tmp_path: Path) -> None:
    lines = [result("ragwheel", "bare", 0, 100), result("ragwheel", "peer", 0, 190)]
    text = summary.summarise(write(tmp_path / "r.jsonl", lines))
    assert "| added p50 µs, flat out | ≤ 60 | 90 | missed by × 1.50 |" in text
    assert "| lost on SIGKILL | ≤ 0 | – | not measured |" in text


def test_results_go_between_their_marks_and_nowhere_else(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{summary.BEGIN}\nold\n{summary.END}\nafter\n", "utf-8")
    summary.put_into(page, "new\n")
    assert page.read_text("utf-8") == f"before\n{summary.BEGIN}\n\nnew\n\n{summary.END}\nafter\n"


@pytest.mark.parametrize(("tail", "verdict"), [(150.0, "met"), (9000.0, "not decided: bare p99 is 9,000 µs")])
def test_a_restless_machine_decides_no_tail(tmp_path: Path, tail: float, verdict: str) -> None:
    bare = result("ragwheel_backlog", "bare", 0, 100)
    bare["phases"]["flat"] = {**bare["phases"]["flat"], "p99_us": tail}
    text = summary.summarise(write(tmp_path / "r.jsonl", [bare, result("ragwheel_backlog", "peer", 0, 110)]))
    (line,) = (
        line for line in text.splitlines() if line.startswith("| added p99 µs, flat out, standing backlog")
    )
    assert verdict in line
