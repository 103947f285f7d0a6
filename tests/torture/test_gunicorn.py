"""gunicorn itself, pre-fork with four workers under load, some of which are killed all the time."""

import http.client
import os
import random
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from tests.torture.counts import count
from tests.torture.workload import ANSWERED, FULL, RETRIEVED, SEED, SIGNALLED, verify

WORKERS, CLIENTS = 4, 6
STEPS, KILLS = (400, 60) if FULL else (25, 4)


class Load:
    """Clients that ask one question after the other; what was answered with 200 is acknowledged."""

    def __init__(self, port):
        self.port = port
        self.acknowledged, self.refused, self.workers = set(), [], set()
        self.changed = threading.Condition()
        self.threads = [threading.Thread(target=self.ask, args=(f"w{n}",)) for n in range(CLIENTS)]
        for thread in self.threads:
            thread.start()

    def ask(self, name):
        for n in range(STEPS):
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)
            try:
                connection.request("GET", f"/?name={name}&n={n}")
                answer = connection.getresponse()
                body = answer.read()
            except (OSError, http.client.HTTPException):  # its worker was killed: nothing was acknowledged
                continue
            finally:
                connection.close()
            with self.changed:
                if answer.status == 200:
                    self.acknowledged |= {(name, n, what) for what in (RETRIEVED, ANSWERED, SIGNALLED)}
                    self.workers.add(int(body))
                else:
                    self.refused.append(answer.status)
                self.changed.notify_all()

    def reaches(self, n):
        """Wait until so many calls were acknowledged, or nobody asks any more."""
        with self.changed:
            self.changed.wait_for(
                lambda: len(self.acknowledged) >= n or not any(t.is_alive() for t in self.threads),
                timeout=300,
            )

    def end(self):
        for thread in self.threads:
            thread.join()


def children(pid):
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.parametrize("preload", [True, False], ids=["preload", "each worker for itself"])
def test_four_workers_under_load_some_killed(tmp_path, preload):
    pytest.importorskip("gunicorn", reason="pip install gunicorn")
    db, root = tmp_path / "app.db", str(Path(__file__).parents[2])
    listening = socket.create_server(("127.0.0.1", 0), backlog=64)
    environment = {**os.environ, "RAGWHEEL_TORTURE_DB": str(db), "PYTHONPATH": root}
    command = [sys.executable, "-m", "gunicorn", "--workers", str(WORKERS), "--chdir", str(tmp_path)]
    command += ["--bind", f"fd://{listening.fileno()}", "--log-level", "error", *["--preload"] * preload]
    server = subprocess.Popen(
        [*command, "tests.torture.wsgi:app"], pass_fds=[listening.fileno()], env=environment
    )
    rng = random.Random(SEED)
    load = Load(listening.getsockname()[1])
    listening.close()
    total = CLIENTS * STEPS * 3
    for n in range(KILLS):
        load.reaches(total * (n + 1) // (KILLS + 2))
        workers = children(server.pid)
        if workers:
            os.kill(rng.choice(workers), signal.SIGKILL)
            count("SIGKILLs of gunicorn workers")
    load.end()
    os.kill(server.pid, signal.SIGTERM)
    assert server.wait(timeout=300) == 0
    count("requests through gunicorn", len(load.acknowledged) // 3)
    assert load.refused == []
    if preload or FULL:  # where workers start slowly, the load of a small run may be over before they serve
        assert len(load.workers) > WORKERS  # others took the place of the killed
    assert len(load.acknowledged) > total // 2
    assert verify(db, load.acknowledged) >= len(load.acknowledged) // 3
