"""A tiny run of the real driver, worker and read-back around ragwheel, in this interpreter's environment."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from capture import driver, machine, measurements, process, session, verify
from capture.measurements import Measurement, Phase
from capture.places import run_folder
from capture.session import thin
from capture.workload import Workload


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers run in the interpreter of the tests instead of a peer's environment."""
    for module in (process, session):
        monkeypatch.setattr(module, "python_of", lambda venv: Path(sys.executable))
    monkeypatch.setattr(machine, "wait_for_quiet", lambda: 0.0)


def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, test: Measurement) -> list[dict[str, Any]]:
    monkeypatch.setitem(measurements.TESTS, "tiny", test)
    results = tmp_path / "results.jsonl"
    driver.run(driver.Plan(peers=["ragwheel"], tests=["tiny"], rounds=1, results=results, budget_s=120))
    lines = [json.loads(line) for line in results.read_text("utf-8").splitlines()]
    assert [line for line in lines if "error" in line] == []
    return [line for line in lines if line["test"] == "tiny"]


def test_ragwheel_stores_every_call_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    test = Measurement("tiny", (Phase("flat", 50),), "W5", "plain", bare=True)
    bare, ours = run(tmp_path, monkeypatch, test)
    assert (bare["mode"], ours["mode"]) == ("bare", "peer")
    assert bare["done"] == ours["done"] == 50
    assert ours["verify"]["lost"] == ours["verify"]["twice"] == 0
    worst = ours["verify"]["worst"]
    assert {worst[part] for part in ("contents", "ids", "sources", "scores")} == {5}
    assert ours["stored_bytes"] > 50 * 100
    assert bare["stored_bytes"] == 0
    assert not any(run_folder().glob("ragwheel-*"))


def test_bare_and_instrumented_calls_take_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "TURN_CALLS", 10)
    phases = (Phase("paced", 20, 200.0), Phase("flat", 25))
    bare, ours = run(tmp_path, monkeypatch, Measurement("tiny", phases, "W5", "plain", bare=True))
    for found in (bare, ours):
        assert found["phases"]["paced"]["calls"] == 20
        assert found["phases"]["flat"]["calls"] == 25
    assert bare["phases"]["flat"]["cpu_p50_us"] < ours["phases"]["flat"]["cpu_p50_us"]


def test_a_killed_process_loses_nothing_that_had_returned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("random.Random.uniform", lambda self, a, b: 0.3)
    kill = Measurement("tiny", (Phase("paced", 20_000, 300.0),), "W5", "plain", kill=True, stored_only=True)
    (killed,) = run(tmp_path, monkeypatch, kill)
    assert killed["verify"]["returned"] > 0
    assert killed["verify"]["lost"] == 0


def test_a_broken_worker_is_a_result_with_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(
        measurements.TESTS, "tiny", Measurement("tiny", (Phase("flat", 1),), "no such workload", "plain")
    )
    results = tmp_path / "results.jsonl"
    driver.run(driver.Plan(peers=["ragwheel"], tests=["tiny"], rounds=1, results=results, budget_s=60))
    errors = [json.loads(line).get("error") for line in results.read_text("utf-8").splitlines()]
    assert any(error and "KeyError: 'no such workload'" in error for error in errors)


def test_losses_are_counted_against_what_had_returned() -> None:
    found = verify.lost_of(4, [0, 2, 2, 9])
    assert found == {"returned": 4, "stored": 3, "twice": 1, "lost": 2, "first_lost": 1}


def test_a_document_that_is_not_whole_is_seen() -> None:
    small = Workload("W5")
    texts = small.texts(3)
    record = {"documents": json.dumps([{"content": text} for text in texts[:4]])}
    assert verify.whole(record, small, 3)["contents"] == 4
    assert verify.whole(record, small, 3)["ids"] == 0


def test_thinning_keeps_the_peak_and_the_end() -> None:
    curve = [(float(i), 10.0 + (i == 33) * 90, i) for i in range(100)]
    kept = thin(curve, 10)
    assert len(kept) <= 12
    assert curve[33] in kept
    assert kept[-1] == curve[-1]
