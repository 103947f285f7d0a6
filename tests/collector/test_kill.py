"""What a collector has answered for is on disk: it is killed, and nothing is missing."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys

import httpx

import ragwheel
from ragwheel.store import open_store

KEY = "k1:" + "5a" * 32


@contextlib.contextmanager
def serve(db, *more):
    """``ragwheel serve`` as a process of its own: the process and its URL."""
    command = (
        "import typer; from ragwheel.cli.serve import serve; app = typer.Typer(); app.command()(serve); app()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", command, "--db", str(db), "--port", "0", *more],
        env={**os.environ, "RAGWHEEL_SIGNING_KEYS": KEY}, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        try:
            said = []
            for line in process.stderr:
                said.append(line)
                if found := re.search(r"running on (http://\S+)", line):
                    break
            else:
                raise AssertionError("".join(said))
            yield process, found[1]
        finally:
            process.kill()


def test_killed_after_the_answer_nothing_is_lost(tmp_path):
    db = tmp_path / "app.db"
    ragwheel.configure(db, signing_keys=[KEY])

    @ragwheel.retriever(name="kb")
    def search(query):
        return [{"id": "c1", "text": "one"}]

    with ragwheel.turn("q", user_id="u1") as turn:
        search("q")
    ragwheel.shutdown()

    acknowledged = set()
    for life in range(3):
        with (
            serve(db, "--subject-rate", "0") as (process, url),
            httpx.Client(base_url=url, timeout=120) as http,
        ):
            for n in range(40):
                event_id = f"{life}-{n}"
                item = {
                    "handle": turn.handle,
                    "kind": "dwell",
                    "chunk": "c1",
                    "value": n,
                    "event_id": event_id,
                }
                if http.post("/v1/signals", json={"signals": [item]}).status_code == 200:
                    acknowledged.add(event_id)
            process.send_signal(signal.SIGKILL)
            assert process.wait(10) == -signal.SIGKILL
    assert len(acknowledged) == 120
    connection = open_store(db)
    stored = {event_id for (event_id,) in connection.execute("SELECT event_id FROM signals")}
    connection.close()
    assert stored == acknowledged


def test_a_server_that_is_asked_to_stop_leaves_no_journal_behind(tmp_path):
    db = tmp_path / "app.db"
    ragwheel.configure(db, signing_keys=[KEY])
    with ragwheel.turn("q") as turn:
        pass
    ragwheel.shutdown()
    with serve(db) as (process, url):
        item = {"handle": turn.handle, "kind": "thumbs_up"}
        assert httpx.post(f"{url}/v1/signals", json=item).status_code == 200
        process.send_signal(signal.SIGTERM)
        process.wait(20)
    assert list((tmp_path / "app.db.segments").glob("*.seg")) == []


def test_unsigned_handles_and_an_open_address_do_not_go_together(tmp_path):
    code = "from ragwheel.cli.serve import serve; serve(host='0.0.0.0', trust_local=True)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert "--trust-local: got --host 0.0.0.0" in done.stderr
