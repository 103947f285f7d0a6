"""A lake in an object store: moto's S3 server on loopback."""

from __future__ import annotations

import os
import threading
import time

import httpx
import pytest
from tests.fleet.servers import contents, traffic

from ragwheel.datasets import build
from ragwheel.errors import DatasetError
from ragwheel.exporting import export_parquet
from ragwheel.fleet import erase_from_lake, pull
from ragwheel.store.erase import Selection

pytest.importorskip("s3fs", reason="s3fs is not installed: pip install s3fs")
moto = pytest.importorskip("moto.server", reason="moto is not installed: pip install 'moto[server]'")

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture
def bucket(monkeypatch):
    """The URL of an empty bucket."""
    import fsspec

    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    httpx.post(f"http://127.0.0.1:{port}/moto-api/reset")  # buckets are the process's, not the server's
    fsspec.filesystem("s3").clear_instance_cache()
    filesystem = fsspec.filesystem("s3")
    filesystem.mkdir("traces")
    yield "s3://traces/lake"
    fsspec.filesystem("s3").clear_instance_cache()
    server.stop()


def test_servers_share_a_bucket(server, tmp_path, bucket):
    servers = [server(f"s{n}") for n in range(3)]
    for each in servers:
        traffic(each)
    failures = []

    def export(each):
        try:
            export_parquet(each.path, bucket)
            export_parquet(each.path, f"file://{tmp_path}/lake")
        except Exception as exc:
            failures.append(exc)

    threads = [threading.Thread(target=export, args=(each,)) for each in servers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert export_parquet(servers[0].path, bucket).written == 0
    assert contents(build(bucket, tmp_path / "a" / "set").out) == contents(
        build(tmp_path / "lake", tmp_path / "b" / "set").out
    )
    erase_from_lake(bucket, Selection(user="u1"))
    assert pull(bucket, tmp_path / "pulled.db").rows["retrieval"] == 54


@pytest.mark.parametrize("requests", [0, 3, 6, 7])
def test_credentials_that_end_in_the_middle_leave_one_export_whole(server, tmp_path, bucket, requests):
    one = server("one")
    traffic(one)
    export_parquet(one.path, bucket)
    address = f"{os.environ['AWS_ENDPOINT_URL']}/moto-api/reset-auth"
    traffic(one)
    httpx.post(address, content=str(requests))  # so many are let through, then keys are checked
    with pytest.raises(DatasetError, match="credentials") as failure:
        export_parquet(one.path, bucket)
    httpx.post(address, content="1000000")
    complete = "is complete" in str(failure.value)
    assert complete == (requests == 7)  # after the manifest only what it replaces is left to be removed
    assert pull(bucket, tmp_path / "before.db").rows["retrieval"] == (48 if complete else 24)
    export_parquet(one.path, bucket)
    assert pull(bucket, tmp_path / "after.db").rows["retrieval"] == 48


def test_a_bucket_is_read_as_it_was_when_reading_began(server, tmp_path, bucket):
    old, new = server("old"), server("new", start_ns=time.time_ns())
    for each in (old, new):
        traffic(each)
        export_parquet(each.path, bucket)
        export_parquet(each.path, tmp_path / "lake")
    removed = []

    def export_again(*_progress):
        new.ask("a new question", ["c1", "c2"], cited=[1])
        removed.append(export_parquet(new.path, bucket).removed)

    built = build(bucket, tmp_path / "a" / "set", progress=export_again)
    assert sum(removed) > 3
    assert contents(built.out) == contents(build(tmp_path / "lake", tmp_path / "b" / "set").out)
