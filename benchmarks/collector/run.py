#!/usr/bin/env python3
"""Load on the collector: signals per second for some minutes, none lost, memory flat.

    python benchmarks/collector/run.py                  # 1,000 signals/s for one minute
    python benchmarks/collector/run.py --minutes 10     # as long as the bar asks for

A store with some thousand turns is made, ``ragwheel serve`` runs as a process of its own on loopback, and
this process sends batches at fixed moments, whether or not the earlier ones were answered: latency counts
from the moment at which a batch was due. Then half the load for the latency bar, and in between every two
batches the same batch to an app that reads it and does nothing, under the same server and protocol: what that
needs is the machine's and this client's, so the ratio is what counts. At the end every signal that was
acknowledged is looked for in the database.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

import ragwheel
from ragwheel.store import open_store

KEY = "bench:" + "5a" * 32
BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
SERVE = """
import sys
from pathlib import Path
from ragwheel.cli.serve import serve
serve(db=Path(sys.argv[1]), port=0, address_rate=0.0)
"""
NOTHING = """
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from ragwheel.collector.server import PatientProtocol

async def nothing(request: Request) -> JSONResponse:
    signals = (await request.json())["signals"]
    results = [{"event_id": s["event_id"], "status": "kept", "reason": None} for s in signals]
    return JSONResponse({"results": results})

app = Starlette(routes=[Route("/v1/signals", nothing, methods=["POST"])])
uvicorn.run(app, port=0, access_log=False, http=PatientProtocol)
"""


@dataclass
class LoadPhase:
    """What happened at one rate; ``late`` is how far into the time between two batches each is sent (0-1)."""

    url: str
    rate: int
    seconds: float
    late: float = 0.0
    latencies_ms: list[float] = field(default_factory=list)
    acknowledged: set[str] = field(default_factory=set)
    sent: int = 0
    failed: int = 0

    def quantile_ms(self, q: float) -> float:
        """Of the batches' latencies."""
        found = sorted(self.latencies_ms)
        return found[min(len(found) - 1, int(q * len(found)))]


def make_turns(db: Path, n: int) -> list[str]:
    """A store with ``n`` turns of one retrieval each, and their handles."""
    ragwheel.configure(db, app="bench", signing_keys=[KEY])

    @ragwheel.retriever(name="kb")
    def search(_query: str) -> list[dict[str, str]]:
        return [{"id": f"c{n}", "text": f"text number {n}, as good as any"} for n in range(10)]

    handles = []
    for number in range(n):
        with ragwheel.turn(f"question {number}", user_id=f"u{number}") as turn:
            search(f"question {number}")
        handles.append(turn.handle)
    ragwheel.shutdown()
    return handles


@contextlib.contextmanager
def server(code: str, *arguments: str) -> Iterator[tuple[int, str]]:
    """A server as a process: its id and URL."""
    environment = {**os.environ, "RAGWHEEL_SIGNING_KEYS": KEY}
    with subprocess.Popen(
        [sys.executable, "-c", code, *arguments], env=environment, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stderr is not None
            said = ""
            while not (found := re.search(r"running on (http://\S+)", said)):
                line = process.stderr.readline()
                if not line:
                    raise SystemExit(f"the server did not start:\n{said}")
                said += line
            yield process.pid, found[1]
        finally:
            process.terminate()
            process.wait(30)


def rss_mb(pid: int) -> float:
    """Resident memory."""
    return int(re.findall(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[0]) / 1024


def cpu_s(pid: int) -> float:
    """User and system time so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def batch(handles: list[str], size: int, name: str) -> tuple[dict[str, Any], list[str]]:
    """Signals of ``size`` random people, and their event ids."""
    ids = [f"{name}-{n}" for n in range(size)]
    kinds: list[dict[str, Any]] = [{"kind": "impression"}, {"kind": "click"}, {"kind": "dwell", "value": 7.5}]
    signals = [
        {
            "handle": random.choice(handles), "chunk": f"c{random.randrange(10)}", "event_id": event_id,
            "at": time.time(), **random.choice(kinds),
        }
        for event_id in ids
    ]  # fmt: skip
    return {"signals": signals}, ids


async def send(
    http: httpx.AsyncClient, body: dict[str, Any], ids: list[str], due_s: float, phase: LoadPhase
) -> None:
    """One batch, from the moment it is due."""
    phase.sent += len(ids)
    try:
        response = await http.post("/v1/signals", json=body)
    except httpx.HTTPError:
        phase.failed += len(ids)
        return
    phase.latencies_ms.append((time.perf_counter() - due_s) * 1000)
    results = response.json().get("results", [])
    kept = {r["event_id"] for r in results if r["status"] in {"kept", "pending", "duplicate"}}
    phase.acknowledged |= kept
    phase.failed += len(ids) - len(kept)


async def load(handles: list[str], phase: LoadPhase, size: int) -> None:
    """Batches of ``size`` at the phase's rate, each started when it is due."""
    under_way: set[asyncio.Task[None]] = set()
    limits = httpx.Limits(max_connections=40, max_keepalive_connections=40)
    async with httpx.AsyncClient(
        base_url=phase.url, headers={"User-Agent": BROWSER}, timeout=30, limits=limits, verify=False
    ) as http:
        start_s = time.perf_counter()
        for number in range(int(phase.rate * phase.seconds / size)):
            due_s = start_s + (number + phase.late) * size / phase.rate
            body, ids = batch(handles, size, f"{phase.rate}-{number}")
            await asyncio.sleep(max(0.0, due_s - time.perf_counter()))
            task = asyncio.create_task(send(http, body, ids, due_s, phase))
            under_way.add(task)
            task.add_done_callback(under_way.discard)
        await asyncio.gather(*under_way)
        phase.seconds = time.perf_counter() - start_s


async def watch(pid: int, curve: list[tuple[float, float]]) -> None:
    """The server's memory once a second, until cancelled."""
    start_s = time.perf_counter()
    while True:
        curve.append((time.perf_counter() - start_s, rss_mb(pid)))
        await asyncio.sleep(1.0)


def slope(curve: list[tuple[float, float]]) -> float:
    """Least-squares growth over the second half, MB per minute."""
    half = curve[len(curve) // 2 :]
    mean_t = sum(t for t, _ in half) / len(half)
    mean_mb = sum(mb for _, mb in half) / len(half)
    spread = sum((t - mean_t) ** 2 for t, _ in half) or 1.0
    return 60.0 * float(sum((t - mean_t) * (mb - mean_mb) for t, mb in half)) / spread


async def measure(
    pid: int, handles: list[str], full: LoadPhase, half: LoadPhase, nothing: LoadPhase, size: int
) -> dict[str, Any]:
    """The full load; then half of it, beside the app that does nothing. Memory and CPU of the first."""
    curve: list[tuple[float, float]] = []
    watching = asyncio.create_task(watch(pid, curve))
    before_s = cpu_s(pid)
    await load(handles, full, size)
    used_s = cpu_s(pid) - before_s
    watching.cancel()
    await asyncio.gather(load(handles, half, size), load(handles, nothing, size))
    memory = [mb for _, mb in curve]
    return {
        "rss_mb": [round(mb, 1) for mb in memory[:: max(1, len(memory) // 12)]],
        "rss_growth_mb_per_minute": round(slope(curve), 2),
        "cpu_s_per_1000": round(1000 * used_s / max(1, full.sent), 3),
        "half_load_over_nothing": {
            name: round(half.quantile_ms(q) / nothing.quantile_ms(q), 2)
            for name, q in (("p50", 0.5), ("p99", 0.99))
        },
    }


def in_store(db: Path) -> set[str]:
    """Event ids of what is stored, matched or not."""
    connection = open_store(db)
    try:
        return {row[0] for view in ("signals", "unmatched_signals")
                for row in connection.execute(f"SELECT event_id FROM {view}")}  # fmt: skip
    finally:
        connection.close()


def main() -> None:
    """Run the command; exit code 1 when an acknowledged signal is missing."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--rate", type=int, default=1000, help="signals per second")
    parser.add_argument("--batch", type=int, default=20, help="signals per request")
    parser.add_argument("--turns", type=int, default=3000, help="people, each with one turn")
    parser.add_argument("--half-seconds", type=float, default=30.0, help="at half the rate")
    asked = parser.parse_args()
    random.seed(0)
    with tempfile.TemporaryDirectory() as folder:
        db = Path(folder) / "bench.db"
        handles = make_turns(db, asked.turns)
        with server(SERVE, str(db)) as (pid, url), server(NOTHING) as (_, nothing):
            full = LoadPhase(url, asked.rate, 60 * asked.minutes)
            half = LoadPhase(url, asked.rate // 2, asked.half_seconds)
            idle = LoadPhase(nothing, half.rate, half.seconds, late=0.5)
            found = asyncio.run(measure(pid, handles, full, half, idle, asked.batch))
        stored = in_store(db)
    acknowledged = full.acknowledged | half.acknowledged
    for name, phase in (("collector", full), ("collector", half), ("does nothing", idle)):
        print(
            f"{name:>12}: {phase.rate:>5} signals/s asked, {phase.sent / phase.seconds:.1f}/s "
            f"for {phase.seconds:.1f} s: "
            f"sent {phase.sent:,}, acknowledged {len(phase.acknowledged):,}, failed {phase.failed:,}; "
            f"batches of {asked.batch}: "
            f"p50 {phase.quantile_ms(0.5):.1f} ms, p99 {phase.quantile_ms(0.99):.1f} ms"
        )
    lost = acknowledged - stored
    print(f"lost {len(lost)}; stored without an answer {len(stored - acknowledged)}")
    print(json.dumps(found))
    sys.exit(1 if lost else 0)


if __name__ == "__main__":
    main()
