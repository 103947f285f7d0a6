"""One measured process: ``python -m capture.worker JOB`` in the peer's environment.

It prints ``READY``, then obeys lines on its standard input: ``run NAME CALLS RATE_HZ`` makes timed
calls (as fast as possible when the rate is 0) and answers ``RAN``; ``end`` flushes and answers
``RESULT {json}``.
"""

from __future__ import annotations

import gc
import json
import logging
import mmap
import os
import resource
import struct
import sys
import time
from typing import Any

from capture import machine
from capture.job import Job
from capture.peers import Peer, load
from capture.peers.base import Retrieve
from capture.workload import Workload, make_retriever, query_text

__all__ = ["percentile"]


def percentile(values: list[int], q: float) -> float:
    """The value at ``q`` of the sorted values, nanoseconds in, microseconds out."""
    ordered = sorted(values)
    return round(ordered[min(len(ordered) - 1, int(q * len(ordered)))] / 1e3, 2)


def own_cpu_s() -> float:
    """CPU seconds of this process, its ended children and its living descendants."""
    used = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(u.ru_utime + u.ru_stime for u in used) + machine.cpu_s(machine.tree(os.getpid())[1:])


class Timings:
    """Wall and CPU nanoseconds of each call of one phase, in the calling thread."""

    def __init__(self) -> None:
        self.wall: list[int] = []
        self.cpu: list[int] = []
        self.elapsed_s = 0.0

    def figures(self) -> dict[str, float]:
        """Percentiles and means in microseconds."""
        return {
            "calls": len(self.wall),
            "loop_s": round(self.elapsed_s, 4),
            **{f"p{str(q).replace('.', '')}_us": percentile(self.wall, q / 100) for q in (50, 90, 99, 99.9)},
            "max_us": max(self.wall) / 1e3,
            "mean_us": round(sum(self.wall) / len(self.wall) / 1e3, 2),
            "cpu_p50_us": percentile(self.cpu, 0.5),
            "cpu_mean_us": round(sum(self.cpu) / len(self.cpu) / 1e3, 2),
        }


class Worker:
    """The peer around the retriever, and the calls made so far."""

    def __init__(self, job: Job) -> None:
        self.job = job
        retrieve = make_retriever(Workload(job.workload), job.retriever)
        self.peer: Peer | None = None
        self.call: Retrieve = retrieve
        if not job.bare:
            self.peer = load(job.peer)(job.path, job.port)
            self.peer.setup()
            self.call = self.peer.wrap(retrieve)
        self.phases: dict[str, Timings] = {}
        self.done = 0
        self.progress: mmap.mmap | None = None
        if job.progress:
            (job.path / "progress").write_bytes(bytes(8))
            with (job.path / "progress").open("r+b") as file:
                self.progress = mmap.mmap(file.fileno(), 8)

    def warm_up(self) -> None:
        """Calls that are not counted (their queries have no number)."""
        for i in range(self.job.warmup):
            self.call(query_text(15_000 + i, "w"))
        if self.peer and self.job.warmup and not self.peer.backlog:
            self.peer.flush()
        self.delivered_before = (self.peer.delivered() or 0) if self.peer else 0
        gc.collect()

    def run(self, name: str, calls: int, rate_hz: float) -> None:
        """Make timed calls, bounded by the job's ``max_s``."""
        timings = self.phases.setdefault(name, Timings())
        call, progress, first = self.call, self.progress, self.done
        clock, thread_clock = time.perf_counter_ns, time.thread_time_ns
        interval = 1e9 / rate_hz if rate_hz else 0.0
        began = clock()
        for i in range(calls):
            if interval and (wait := began + i * interval - clock()) > 0:
                time.sleep(wait / 1e9)
            query = query_text(first + i)
            cpu_before, before = thread_clock(), clock()
            call(query)
            after = clock()
            timings.cpu.append(thread_clock() - cpu_before)
            timings.wall.append(after - before)
            if progress is not None:
                progress[0:8] = struct.pack("<q", first + i + 1)
            self.done += 1
            if after - began > self.job.max_s * 1e9:
                break
        timings.elapsed_s += (clock() - began) / 1e9

    def server_cpu_s(self) -> float:
        """CPU seconds of the peer's server so far."""
        return machine.cpu_s(machine.tree(self.job.server_pid)) if self.job.server_pid else 0.0

    def obey(self) -> dict[str, Any]:
        """Follow the driver's lines until ``end``; the result."""
        self.warm_up()
        rss_before, cpu_before, server_before = (
            machine.rss_mb([os.getpid()]),
            own_cpu_s(),
            self.server_cpu_s(),
        )
        print("READY", flush=True)
        began = 0.0
        for line in sys.stdin:
            command, *words = line.split()
            if command == "end":
                break
            began = began or time.time()
            self.run(words[0], int(words[1]), float(words[2]))
            print("RAN", flush=True)
        facts = self.peer.facts() if self.peer else {}
        if self.peer:
            self.peer.flush()
        ended = (self.peer.durable_at if self.peer and self.peer.durable_at else None) or time.time()
        cpu, server = own_cpu_s() - cpu_before, self.server_cpu_s() - server_before
        delivered = self.peer.delivered() if self.peer else None
        if self.peer:
            self.peer.close()
        return {
            "done": self.done,
            "phases": {name: timings.figures() for name, timings in self.phases.items()},
            "durable_s": round(ended - began, 4),
            "cpu_s": round(cpu, 4),
            "server_cpu_s": round(server, 3),
            "rss_before_mb": round(rss_before, 1),
            "rss_peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6, 1),
            "delivered": None if delivered is None else delivered - self.delivered_before,
            "facts": facts,
        }


if __name__ == "__main__":
    asked = Job.loads(sys.argv[1])
    logging.getLogger().addHandler(logging.FileHandler(asked.path / "worker.log"))
    print("RESULT " + json.dumps(Worker(asked).obey()), flush=True)
