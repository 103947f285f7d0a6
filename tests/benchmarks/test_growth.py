"""The curves: points measured at a tiny size, and a page and pictures out of made-up ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from capture.workload import Workload
from growth import summary, worker

MACHINE = {"at": "2026-01-01", "machine": {"cores": 2}, "load": 1.0}
POINTS: dict[str, list[dict[str, Any]]] = {
    "processes": [
        {"processes": n, "stored_per_s": 1000.0 * n, "cpu_s_per_1000": 0.25, "lost": 0, "calls": 100}
        for n in (1, 2)
    ],
    "burst": [
        {
            "characters": characters, "calls": 100, "lost": 0, "returned_s": 1.0, "stored_s": 2.0,
            "before_mb": 40.0, "highest_mb": 60.0, "rss_mb": [[0.0, 40.0], [1.0, 60.0], [2.0, 60.0]],
        }
        for characters in (1000, 4000)
    ],
}  # fmt: skip


def test_a_burst_is_measured_and_nothing_is_lost(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    point = worker.burst(tmp_path / "app.db", workload="W5", calls=50)
    assert capsys.readouterr().out == "ready\n"
    assert (point["calls"], point["lost"], point["characters"]) == (50, 0, 200)
    assert point["stored_s"] >= point["returned_s"] > 0


def test_a_database_grows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "Workload", lambda name: Workload("W5"))
    first = worker.grow(tmp_path / "app.db", first=0, upto=30)
    assert first["dropped"] == 0
    second = worker.grow(tmp_path / "app.db", first=130, upto=160)
    assert worker.stored(tmp_path / "app.db") == 260
    assert second["file_bytes"] >= first["file_bytes"] > 0


def test_the_section_is_added_once_and_replaced_afterwards(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Title\n", "utf-8")
    results = {name: {**MACHINE, "points": points} for name, points in POINTS.items()}
    pictures = [Path(f"img/growth-{name}.svg") for name in results]
    for _ in range(2):
        summary.put_into(page, summary.summarise(results, pictures))
    text = page.read_text("utf-8")
    assert text.startswith("# Title\n\n## How it grows\n")
    assert text.count("![Processes](img/growth-processes.svg)") == 1
    assert "| 2 | 2,000 | 0.25 | 0 | 100 |" in text
    assert "| 4,000 | 100 | 0 | 1 | 2 | 40 | 60 | 60 | 20 |" in text


def test_pictures_have_text_and_no_background(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from growth.pictures import draw

    results = {name: {**MACHINE, "points": points} for name, points in POINTS.items()}
    for path in draw(results, tmp_path / "img"):
        svg = path.read_text("utf-8")
        assert "</text>" in svg
        assert "#ffffff" not in svg
