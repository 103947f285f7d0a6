"""A lake of many stores: each writes its own part, and what is read is one set."""

from __future__ import annotations

import json
import sqlite3
import threading
from contextlib import closing

import pyarrow.parquet as pq
import pytest
from tests.fleet.servers import DAY_NS, NOW_NS, contents, traffic
from typer.testing import CliRunner

from ragwheel.cli import app
from ragwheel.datasets import build
from ragwheel.errors import DatasetError, StoreLocked
from ragwheel.exporting import export_parquet
from ragwheel.fleet import pull
from ragwheel.store import backup, erase
from ragwheel.store.identity import exporting


def parts_of(lake, store):
    return {name: data for name, data in contents(lake).items() if f"store={store}/" in name}


def rows(lake, tmp_path, name="pulled"):
    return pull(lake, tmp_path / f"{name}.db").rows


def test_a_second_server_changes_nothing_of_the_first(server, tmp_path):
    one, two = server("one"), server("two")
    traffic(one)
    two.ask("something else", ["c1", "z"], cited=[2])
    first = export_parquet(one.path, tmp_path / "lake")
    before = parts_of(tmp_path / "lake", first.store)
    second = export_parquet(two.path, tmp_path / "lake")
    assert second.removed == 0
    assert second.store != first.store
    assert parts_of(tmp_path / "lake", first.store) == before
    assert rows(tmp_path / "lake", tmp_path)["retrieval"] == 25
    assert export_parquet(one.path, tmp_path / "lake").written == 0


def test_what_is_replaced_is_said_before_it_is_removed_and_is_the_stores_own(server, tmp_path):
    one, two = server("one"), server("two")
    traffic(one)
    traffic(two)
    lake, said = tmp_path / "lake", []
    store = export_parquet(one.path, lake).store
    export_parquet(two.path, lake)
    erase(one.path, user="u1")

    def announce(paths):
        assert all((lake / path).exists() for path in paths)
        said.extend(paths)

    report = export_parquet(one.path, lake, announce=announce)
    assert report.removed == len(said) > 0
    assert all(f"store={store}/" in path for path in said)
    assert not any((lake / path).exists() for path in said)


def test_many_servers_export_at_once(server, tmp_path):
    servers = [server(f"s{n}") for n in range(5)]
    for each in servers:
        traffic(each)
    failures = []

    def export(each):
        try:
            export_parquet(each.path, tmp_path / "lake")
        except Exception as exc:
            failures.append(exc)

    threads = [threading.Thread(target=export, args=(each,)) for each in servers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert rows(tmp_path / "lake", tmp_path) == {
        "retrieval": 120, "turn": 120, "signal": 0, "chunk": 10, "judgment": 0,
    }  # fmt: skip


def test_two_exports_of_one_store_take_turns(server, tmp_path):
    one = server("one")
    traffic(one)
    with exporting(one.path, timeout_s=1), pytest.raises(StoreLocked, match="one export of a database"):
        export_parquet(one.path, tmp_path / "lake", timeout_s=0.05)
    assert not (tmp_path / "lake").exists()


def test_signals_join_retrievals_of_other_stores_in_any_order(server, tmp_path):
    serving, collecting, whole = server("serving"), server("collecting"), server("whole")
    asked, same = traffic(serving), traffic(whole)
    for one, other in zip(asked, same):
        collecting.signal(one, "click", "c3", subject="u9")
        whole.signal(other, "click", "c3", subject="u9")
    export_parquet(collecting.path, tmp_path / "lake")
    export_parquet(serving.path, tmp_path / "lake")
    evidence = build(tmp_path / "lake", tmp_path / "set").evidence
    assert evidence == build(whole.path, tmp_path / "whole").evidence
    assert evidence["click"] > 0


def test_a_retraction_that_reached_another_store_takes_the_signal_back(server, tmp_path):
    serving, other = server("serving"), server("other")
    asked = traffic(serving)
    serving.signal(asked[0], "click", "c3", subject="u0")
    other.now_ns = serving.now_ns + DAY_NS
    other.signal(asked[0], "retract", "c3", other="click", subject="u0")
    export_parquet(serving.path, tmp_path / "lake")
    assert "click" in build(tmp_path / "lake", tmp_path / "before").evidence
    export_parquet(other.path, tmp_path / "lake")
    assert "click" not in build(tmp_path / "lake", tmp_path / "after").evidence


def test_the_same_rows_in_two_stores_count_once(server, tmp_path):
    one = server("one")
    asked = traffic(one)
    one.signal(asked[0], "click", "c2", subject="u0")
    expected = build(one.path, tmp_path / "alone").out
    export_parquet(one.path, tmp_path / "lake")
    backup(one.path, tmp_path / "copy.db")
    with closing(sqlite3.connect(tmp_path / "copy.db")) as connection:  # a copy that has exported nothing yet
        connection.execute("UPDATE _store SET identity = 'fedcba9876543210'")
        connection.execute("DELETE FROM _export")
        connection.commit()
    export_parquet(tmp_path / "copy.db", tmp_path / "lake")
    found, wanted = contents(build(tmp_path / "lake", tmp_path / "both").out), contents(expected)
    assert {name for name in wanted if found[name] != wanted[name]} == {"manifest.json"}
    manifests = [json.loads(some["manifest.json"]) for some in (found, wanted)]
    assert [manifest["read"].pop("database") for manifest in manifests] == ["copy.db, one.db", "one.db"]
    assert manifests[0] == manifests[1]


def test_a_copy_beside_its_original_becomes_a_store_of_its_own(server, tmp_path):
    one = server("one")
    traffic(one)
    original = export_parquet(one.path, tmp_path / "lake").store
    backup(one.path, tmp_path / "copy.db")
    one.ask("only the original", ["c1", "c2"], cited=[1])
    assert export_parquet(one.path, tmp_path / "lake").store == original
    before = parts_of(tmp_path / "lake", original)
    copied = export_parquet(tmp_path / "copy.db", tmp_path / "lake")
    assert copied.separated_from == original != copied.store
    assert parts_of(tmp_path / "lake", original) == before
    assert export_parquet(tmp_path / "copy.db", tmp_path / "lake").separated_from is None
    assert rows(tmp_path / "lake", tmp_path)["retrieval"] == 25


def test_a_backup_keeps_the_identity(server, tmp_path):
    one = server("one")
    traffic(one)
    original = export_parquet(one.path, tmp_path / "lake").store
    backup(one.path, tmp_path / "copy.db")
    assert export_parquet(tmp_path / "copy.db", tmp_path / "lake").store == original


def test_an_export_killed_before_it_ended_goes_on_under_its_identity(server, tmp_path):
    one = server("one")
    traffic(one)
    original = export_parquet(one.path, tmp_path / "lake").store
    with closing(sqlite3.connect(one.path)) as connection:  # as it is when a kill came after the manifest
        connection.execute("UPDATE _export SET pending = token, token = NULL")
        connection.commit()
    assert export_parquet(one.path, tmp_path / "lake").store == original


def test_clocks_a_day_apart_change_no_row(server, tmp_path):
    ahead, behind = server("ahead", start_ns=NOW_NS + DAY_NS), server("behind")
    asked = traffic(ahead)
    behind.signal(asked[0], "click", "c3", subject="u0")  # "before" the retrieval
    for each in (ahead, behind):
        export_parquet(each.path, tmp_path / "lake")
    assert rows(tmp_path / "lake", tmp_path)["signal"] == 1
    with closing(sqlite3.connect(tmp_path / "pulled.db")) as connection:
        assert connection.execute("SELECT count(*) FROM signals").fetchone() == (1,)


@pytest.mark.parametrize("damage", ["removed", "cut", "emptied"])
def test_a_part_that_somebody_touched_is_an_error_that_names_it(server, tmp_path, damage):
    one, two = server("one"), server("two")
    traffic(one)
    traffic(two)
    for each in (one, two):
        export_parquet(each.path, tmp_path / "lake")
    part = next((tmp_path / "lake" / "turn").rglob("*.parquet"))
    if damage == "removed":
        part.unlink()
    elif damage == "cut":
        part.write_bytes(part.read_bytes()[:-20])
    else:
        pq.write_table(pq.read_table(part, partitioning=None).slice(0, 0), part)
    with pytest.raises(DatasetError, match="missing or damaged"):
        build(tmp_path / "lake", tmp_path / "set")
    assert not (tmp_path / "set").exists()


def test_a_lake_of_a_later_format_is_left_alone(server, tmp_path):
    one, two = server("one"), server("two")
    traffic(one)
    traffic(two)
    export_parquet(one.path, tmp_path / "lake")
    (manifest,) = (tmp_path / "lake" / "_stores").iterdir()
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"format": 9}))
    before = contents(tmp_path / "lake")
    with pytest.raises(DatasetError, match="Upgrade"):
        export_parquet(two.path, tmp_path / "lake")
    assert contents(tmp_path / "lake") == before


def test_commands_that_read_a_database_read_a_lake(server, tmp_path):
    one, two = server("one"), server("two")
    asked = traffic(one)
    two.signal(asked[0], "click", "c3", subject="u0")
    for each in (one, two):
        export_parquet(each.path, tmp_path / "lake")
    run = CliRunner().invoke
    screen = run(app, ["status", "--db", str(tmp_path / "lake")])
    words = " ".join(screen.stdout.split())  # the terminal wraps long paths
    assert f"{tmp_path / 'lake'}".replace(" ", "") in screen.stdout.replace("\n", "").replace(" ", "")
    assert "ragwheel build --from-parquet" in words
    assert "ragwheel-lake-" not in screen.stdout  # the copy is gone when the command has ended
    status = run(app, ["status", "--db", str(tmp_path / "lake"), "--json"])
    assert status.exit_code == 0, status.output
    assert json.loads(status.stdout)["retrievals"] == 24
    assert json.loads(status.stdout)["signals"] == {"click": 1}
    show = run(app, ["show", "--db", (tmp_path / "lake").as_uri(), "--json", asked[0].turn_id])
    assert show.exit_code == 0, show.output
    assert "part 0" in show.stdout
    grades = ["export", "grades", "--out", str(tmp_path / "grades.csv")]
    result = run(app, [*grades, "--from-parquet", str(tmp_path / "lake")])
    assert result.exit_code == 0, result.output
    missing = run(app, ["status", "--db", (tmp_path / "nowhere").as_uri()])
    assert missing.exit_code == 1
    assert "no traces" in missing.output
