"""What many servers do in one lake at the same moment, and what they leave half done."""

from __future__ import annotations

import json
import threading

from tests.fleet.servers import traffic

from ragwheel.exporting import export_parquet
from ragwheel.exporting.lake_folder import LakeFolder
from ragwheel.labels.traces.lake import located, open_lake


def test_two_writers_of_one_file_write_under_two_names(tmp_path):
    folder = LakeFolder(*located(tmp_path / "lake"))
    (first, first_name), (second, second_name) = folder.begin("turn/part-a"), folder.begin("turn/part-a")
    for sink, name in ((first, first_name), (second, second_name)):
        sink.write(b"rows")
        sink.close()
        folder.finished(name, "turn/part-a")
    assert first_name != second_name
    folder.publish()
    assert [path.name for path in (tmp_path / "lake" / "turn").iterdir()] == ["part-a"]


def test_a_manifest_that_is_half_written_is_no_store_and_no_erasure(server, tmp_path):
    one, two = server("one"), server("two")
    traffic(one)
    traffic(two)
    lake = tmp_path / "lake"
    store = export_parquet(one.path, lake).store
    (lake / "_erasures").mkdir()
    for folder, name in (("_stores", store), ("_erasures", "0123abcd")):
        (lake / folder / f"_unfinished-01234567-{name}.json").write_text('{"format": ')
        (lake / folder / f"_unfinished-{name}.json").write_text('{"format": ')
    export_parquet(two.path, lake)
    assert len(open_lake(*located(lake)).stores) == 2


def test_files_that_vanish_while_a_lake_is_listed_hide_no_other(server, tmp_path):
    one = server("one")
    traffic(one)
    lake = tmp_path / "lake"
    export_parquet(one.path, lake)
    wanted = set(open_lake(*located(lake)).files)
    end = threading.Event()

    def write_and_rename():
        while not end.is_set():
            for n in range(20):
                (lake / "_stores" / f"_unfinished-{n}").write_bytes(b"")
            for n in range(20):
                (lake / "_stores" / f"_unfinished-{n}").unlink()

    writer = threading.Thread(target=write_and_rename)
    writer.start()
    try:
        for _ in range(300):
            opened = open_lake(*located(lake))
            assert wanted <= set(opened.files)
            assert opened.stores
    finally:
        end.set()
        writer.join()


def test_a_lake_is_listed_again_when_a_store_has_replaced_files_meanwhile(server, tmp_path, monkeypatch):
    one = server("one")
    traffic(one)
    lake = tmp_path / "lake"
    export_parquet(one.path, lake)
    filesystem, root = located(lake)
    read, exports = type(filesystem).cat_file, []

    def cat_file(self, path, **options):
        if path.endswith("_ragwheel.json") and not exports:  # listed already, manifests not read yet
            exports.append(None)
            one.ask("a new question", ["c1", "c2"], cited=[1])
            exports[0] = export_parquet(one.path, lake)
        return read(self, path, **options)

    monkeypatch.setattr(type(filesystem), "cat_file", cat_file)
    exports.clear()
    opened = open_lake(filesystem, root)
    assert exports[0].removed
    assert opened.missing() == set()
    assert sum(part["rows"] for _, _, part in opened.parts("turn")) == 25


def test_a_file_that_is_gone_for_good_is_said_to_be_missing(server, tmp_path):
    one = server("one")
    traffic(one)
    lake = tmp_path / "lake"
    store = export_parquet(one.path, lake).store
    manifest = json.loads((lake / "_stores" / f"{store}.json").read_text())
    ((_, part),) = manifest["tables"]["turn"].items()
    (lake / part["file"]).unlink()
    assert open_lake(*located(lake)).missing() == {part["file"]}
