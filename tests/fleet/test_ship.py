"""Shipping: what a store has reaches the lake, whatever happens in between."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing

import pytest
from tests.fleet.servers import DAY_NS, traffic
from typer.testing import CliRunner

from ragwheel.cli import app
from ragwheel.errors import StoreError
from ragwheel.exporting import export_parquet
from ragwheel.fleet import erase_from_lake, prune_shipped, pull, ship, ship_once
from ragwheel.store import erase, open_store
from ragwheel.store.erase import Selection


def counts(lake, tmp_path, name):
    return pull(lake, tmp_path / f"{name}.db").rows


def test_shipping_waits_for_a_store_and_survives_a_lake_that_is_away(server, tmp_path):
    stop, lake, shipments = threading.Event(), tmp_path / "mount" / "lake", []
    (tmp_path / "mount").write_text("not mounted yet")

    def on_shipment(shipment):
        shipments.append(shipment)
        if len(shipments) == 1:
            traffic(server("pod"))
        elif len(shipments) == 2:
            (tmp_path / "mount").unlink()
        else:
            stop.set()

    succeeded = ship(tmp_path / "pod.db", lake, every_s=0.01, stop=stop, on_shipment=on_shipment)
    assert [shipment.failure is None for shipment in shipments] == [False, False, True, True]
    assert "no database" in shipments[0].failure
    assert succeeded == 2
    assert counts(lake, tmp_path, "all")["retrieval"] == 24


def test_shipped_days_are_dropped_and_stay_in_the_lake(server, tmp_path):
    pod = server("pod")
    asked = traffic(pod)
    pod.now_ns += 3 * DAY_NS
    traffic(pod, turns=6)
    lake = tmp_path / "lake"
    shipment = ship_once(pod.path, lake, keep_days=1)
    assert shipment.failure is None
    assert shipment.pruned.retrievals == 30
    before = counts(lake, tmp_path, "before")
    pod.signal(asked[0], "click", "c3", subject="u0")
    assert export_parquet(pod.path, lake).rows["retrieval"] == 30
    after = counts(lake, tmp_path, "after")
    assert after == before | {"signal": 1}
    with closing(sqlite3.connect(tmp_path / "after.db")) as connection:
        assert connection.execute("SELECT count(*) FROM signals").fetchone() == (1,)


def test_a_day_that_got_a_row_since_it_was_shipped_stays(server, tmp_path):
    pod = server("pod")
    asked = traffic(pod)
    export_parquet(pod.path, tmp_path / "lake")
    pod.now_ns -= 3600 * 10**9
    pod.signal(asked[0], "click", "c3", subject="u0")
    assert prune_shipped(pod.path, max_age_days=1).retrievals == 0
    export_parquet(pod.path, tmp_path / "lake")
    assert prune_shipped(pod.path, max_age_days=1, dry_run=True).retrievals == 24
    assert prune_shipped(pod.path, max_age_days=1).retrievals == 24


def test_what_was_never_shipped_is_not_dropped(server, tmp_path):
    pod = server("pod")
    traffic(pod)
    with pytest.raises(StoreError, match="never exported"):
        prune_shipped(pod.path, max_age_days=1)
    result = CliRunner().invoke(app, ["prune", "--shipped", "--db", str(pod.path), "--yes"])
    assert result.exit_code == 1
    assert "--older-than 7d" in result.output


def test_what_is_erased_after_a_prune_goes_from_the_lake_and_nothing_else(server, tmp_path):
    pod = server("pod")
    traffic(pod)
    pod.now_ns += 2 * DAY_NS
    traffic(pod, turns=8)
    lake = tmp_path / "lake"
    export_parquet(pod.path, lake)
    erase(pod.path, user="u1")  # not exported yet when the rest is pruned by age
    with closing(open_store(pod.path)) as connection:
        (left,) = connection.execute("SELECT count(*) FROM retrievals").fetchone()
    assert left == 24
    CliRunner().invoke(app, ["prune", "--older-than", "0h", "--db", str(pod.path), "--yes"])
    export_parquet(pod.path, lake)
    assert counts(lake, tmp_path, "after")["retrieval"] == 24
    assert export_parquet(pod.path, lake).written == 0


def test_an_erasure_reaches_every_store_and_later_exports(server, tmp_path):
    gone, here = server("gone"), server("here")
    lake = tmp_path / "lake"
    asked = traffic(gone)
    traffic(here)
    here.signal(asked[1], "click", "c3", subject="u3")  # about a turn of u1's, at another server
    here.signal(asked[0], "click", "c3", subject="u1")
    for each in (gone, here):
        export_parquet(each.path, lake)
    planned = erase_from_lake(lake, Selection(user="u1"), dry_run=True)
    assert counts(lake, tmp_path, "untouched")["retrieval"] == 48
    report = erase_from_lake(lake, Selection(user="u1"))
    assert (report.rows, len(report.stores)) == (planned.rows, 2)
    assert report.rows == {"retrieval": 12, "turn": 12, "signal": 2, "chunk": 0, "judgment": 0}
    assert counts(lake, tmp_path, "erased") == {
        "retrieval": 36, "turn": 36, "signal": 0, "chunk": 10, "judgment": 0,
    }  # fmt: skip
    exported = export_parquet(here.path, lake)  # whose database still had it
    assert exported.erased > 0
    with closing(sqlite3.connect(here.path)) as connection:
        assert connection.execute("SELECT count(*) FROM _retrieval WHERE user_id = 'u1'").fetchone() == (0,)
    assert counts(lake, tmp_path, "later")["retrieval"] == 36
    assert not any(b"u1" in path.read_bytes() for path in (lake / "_erasures").iterdir())
    assert erase_from_lake(lake, Selection(user="u1")).files == 0


def test_only_a_person_or_a_session_can_be_erased_from_a_lake(server, tmp_path):
    with pytest.raises(StoreError, match="a user or a session"):
        erase_from_lake(tmp_path / "lake", Selection(older_than=1.0))


def test_the_command_ships_until_it_is_told_to_stop_and_once_more(server, tmp_path):
    traffic(server("pod"))
    command = [sys.executable, "-c", "from ragwheel.cli import main; main()", "ship", str(tmp_path / "lake")]
    with subprocess.Popen(
        [*command, "--db", str(tmp_path / "pod.db"), "--every", "1h", "--json"],
        stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as process:  # fmt: skip
        first = json.loads(process.stdout.readline())
        process.send_signal(signal.SIGTERM)
        last = json.loads(process.stdout.readline())
        assert process.wait() == 0
    assert (first["rows"]["retrieval"], first["failure"]) == (24, None)
    assert (last["written"], last["failure"]) == (0, None)
