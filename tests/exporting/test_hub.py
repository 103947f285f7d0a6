"""Pushing to a hub: a small server on loopback takes what ``datasets`` and ``huggingface_hub`` send."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from ragwheel.datasets import build
from ragwheel.testing import TraceStore

PUSH = "import sys; from ragwheel.exporting import push_to_hub; print(push_to_hub(sys.argv[1], sys.argv[2]))"


def _mode(path):
    """Tables are large files on the hub, and gone from the client's disk before the commit."""
    return "lfs" if path.endswith(".parquet") else "regular"


class Hub(BaseHTTPRequestHandler):
    """As much of the hub's protocol as a push needs: repositories, pre-upload, commits; keeps the files."""

    files: dict[str, bytes]
    objects: dict[str, bytes]
    refuses = False

    def _answer(self, code, body, content="application/json"):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Type", content)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _body(self):
        if self.headers.get("Transfer-Encoding") == "chunked":
            data = b""
            while size := int(self.rfile.readline(), 16):
                data += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return data
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _tree(self, folder):
        """The files under a folder; as on the hub, one that is not there is an error of its own kind."""
        found = [name for name in self.files if not folder or name.startswith(f"{folder}/")]
        if folder and not found:
            self.send_response(404)
            self.send_header("X-Error-Code", "EntryNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            self._answer(200, [self._entry(name) for name in found])

    def _entry(self, name):
        return {"type": "file", "path": name, "size": len(self.files[name]), "oid": "0" * 40}

    def do_POST(self):
        body = self._body()
        if self.refuses:
            self._answer(403, {"error": "not yours"})
        elif self.path == "/api/repos/create":
            self._answer(
                200, {"url": f"http://{self.headers['Host']}/datasets/team/wheel", "name": "team/wheel"}
            )
        elif "/preupload/" in self.path:
            files = [
                {"path": f["path"], "uploadMode": _mode(f["path"]), "shouldIgnore": False, "oid": None}
                for f in json.loads(body)["files"]
            ]
            self._answer(200, {"files": files})
        elif self.path.endswith("/info/lfs/objects/batch"):
            url = f"http://{self.headers['Host']}/lfs/"
            objects = [
                {**one, "actions": {"upload": {"href": url + one["oid"]}}}
                for one in json.loads(body)["objects"]
            ]
            self._answer(200, {"transfer": "basic", "objects": objects})
        elif "/commit/" in self.path:
            for line in body.splitlines():
                entry = json.loads(line)
                if entry["key"] == "lfsFile":
                    self.files[entry["value"]["path"]] = self.objects[entry["value"]["oid"]]
                elif entry["key"] == "file":
                    self.files[entry["value"]["path"]] = base64.b64decode(entry["value"]["content"])
            found = {
                "commitUrl": f"http://{self.headers['Host']}/datasets/team/wheel/commit/{'1' * 40}",
                "commitOid": "1" * 40,
                "success": True,
            }
            self._answer(200, {**found, "hookOutput": ""})
        elif "paths-info" in self.path:
            wanted = parse_qs(body.decode()).get("paths", [])
            self._answer(200, [self._entry(name) for name in wanted if name in self.files])
        elif self.path == "/api/validate-yaml":
            self._answer(200, {"errors": [], "warnings": []})
        else:
            self._answer(200, {})

    def do_GET(self):
        if "/tree/" in self.path:
            self._tree(unquote(urlsplit(self.path).path.partition("/tree/")[2]).partition("/")[2])
        elif re.fullmatch(r"/api/datasets/team/wheel(/revision/\w+)?(\?.*)?", self.path):
            files = [{"rfilename": name} for name in self.files]
            self._answer(200, {"id": "team/wheel", "sha": "1" * 40, "siblings": files})
        else:
            name = self.path.partition("/resolve/")[2].partition("/")[2]
            found = self.files.get(name)
            self._answer(200 if found is not None else 404, found or b"{}")

    def do_PUT(self):
        self.objects[self.path.rpartition("/")[2]] = self._body()
        self._answer(200, {})

    do_HEAD = do_GET  # noqa: N815 - as http.server wants it

    def log_message(self, *args):
        """Stay silent."""


@pytest.fixture
def hub(tmp_path):
    handler = type("ThisHub", (Hub,), {"files": {}, "objects": {}})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def dataset(tmp_path):
    with TraceStore(tmp_path / "traces.db") as store:
        store.ask("how do I reset it?", ["reset", "length"], cited=[1], prompted=[1])
        store.ask("what does it cost?", ["billing", "reset"], cited=[1], prompted=[1])
        return build(store.path, tmp_path / "data").out


def push(hub, dataset, repo):
    """In a process of its own: the endpoint is read when huggingface_hub is imported."""
    environment = {
        **os.environ,
        "HF_ENDPOINT": f"http://127.0.0.1:{hub.server_port}",
        "HF_TOKEN": "hf_test",
        "HF_HOME": str(dataset.parent / "home"),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_OFFLINE": "0",
    }
    return subprocess.run(
        [sys.executable, "-c", PUSH, str(dataset), repo],
        capture_output=True, text=True, timeout=600, check=False, env=environment,
    )  # fmt: skip


def test_a_push_brings_every_config_and_the_manifest(hub, dataset):
    done = push(hub, dataset, "team/wheel")
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip().endswith("/datasets/team/wheel")
    files = hub.RequestHandlerClass.files
    assert {name.partition("/")[0] for name in files} >= {"pairs", "ragwheel", "README.md"}
    assert files["ragwheel/manifest.json"] == (dataset / "manifest.json").read_bytes()
    assert b"config_name: pairs" in files["README.md"]


def test_a_hub_that_refuses_is_said_in_words(hub, dataset):
    hub.RequestHandlerClass.refuses = True
    done = push(hub, dataset, "team/wheel")
    assert done.returncode == 1
    assert "DatasetError: team/wheel could not be pushed" in done.stderr
    assert "hf auth whoami" in done.stderr
