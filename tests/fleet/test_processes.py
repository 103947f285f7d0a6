"""Ten capturing processes with ten stores, killed at random: all that they acknowledged is in one build."""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from tests.fleet.servers import contents

from ragwheel.datasets import build
from ragwheel.exporting import export_parquet
from ragwheel.fleet import pull

APP = Path(__file__).with_name("app.py")
PODS, TURNS = 10, 12


def killed_pod(folder, number, rng):
    """Run an app with a store of its own, kill it at random; returns what it acknowledged."""
    db = folder / f"pod{number}" / "ragwheel.db"
    db.parent.mkdir()
    command = [sys.executable, str(APP), str(db), f"pod{number}", str(TURNS)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    return db, process, rng.randrange(4, 2 * TURNS)


def test_what_killed_processes_acknowledged_is_in_the_one_build_and_equal_to_one_store(tmp_path):
    rng = random.Random(7)
    pods = [killed_pod(tmp_path, number, rng) for number in range(PODS)]
    turns, signals = 0, set()
    for _db, process, lines in pods:
        for _ in range(lines):
            word, _, rest = process.stdout.readline().partition(" ")
            turns += word == "turn"
            if word == "signal":
                signals.add(rest.strip())
        process.kill()
        process.communicate()
    one = tmp_path / "one" / "ragwheel.db"
    (tmp_path / "one" / "ragwheel.db.segments").mkdir(parents=True, mode=0o700)
    for db, _, _ in pods:  # the same journals, merged by one store
        for segment in (db.parent / "ragwheel.db.segments").glob("*.seg"):
            shutil.copy(segment, tmp_path / "one" / "ragwheel.db.segments" / segment.name)
    for db, _, _ in pods:  # the next pod that mounts the volume ships it
        export_parquet(db, tmp_path / "lake")
    export_parquet(one, tmp_path / "lake_of_one")
    pulled = pull(tmp_path / "lake", tmp_path / "pulled.db")
    assert pulled.stores == PODS
    assert pulled.rows["turn"] >= turns > PODS
    with closing(sqlite3.connect(tmp_path / "pulled.db")) as connection:
        stored = {event for (event,) in connection.execute("SELECT event_id FROM signals")}
    assert stored >= signals
    fleet = contents(build(tmp_path / "lake", tmp_path / "a" / "set").out)
    assert fleet == contents(build(tmp_path / "lake_of_one", tmp_path / "b" / "set").out)
    assert fleet == contents(build(one, tmp_path / "c" / "set").out)
    assert json.loads(fleet["manifest.json"])["read"]["spans"]["turn"] == pulled.rows["turn"]
