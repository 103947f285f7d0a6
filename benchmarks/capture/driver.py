"""Go round the peers, so that every drift of the machine hits all of them alike, and keep every result."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from capture import machine
from capture.job import Job
from capture.measurements import TESTS, Measurement, Phase, quick
from capture.peers import load
from capture.places import checkout, home, python_of, run_folder, worker_environment
from capture.process import Process
from capture.session import Session

__all__ = ["Plan", "run"]

BACKLOG_CALLS = 60_000
TURN_CALLS = 200


@dataclass(frozen=True)
class Plan:
    """What to run: ``rounds`` rounds of ``tests`` over ``peers``, within ``budget_s`` seconds."""

    peers: list[str]
    tests: list[str]
    rounds: int
    results: Path
    quick: bool = False
    budget_s: float = 7200.0
    seed: int = 7
    began: float = field(default_factory=time.monotonic)

    def left_s(self) -> float:
        """Seconds of the budget that are left."""
        return self.budget_s - (time.monotonic() - self.began)

    def test(self, name: str) -> Measurement:
        """The test, smaller in a quick plan."""
        return quick(name) if self.quick else TESTS[name]


def applies(peer: str, test: Measurement) -> bool:
    """Whether a test says anything about a peer."""
    kind = load(peer)
    if test.retriever not in kind.retrievers or (test.stored_only and not kind.stores):
        return False
    return not kind.backlog or test.compares_latency


def worth_it(plan: Plan, number: int, peer: str, test: Measurement) -> bool:
    """Whether there is time for it: a quick plan runs slow peers only once, and only for their latency."""
    if number >= test.rounds:
        return False
    return not plan.quick or not load(peer).slow or (test.compares_latency and number == 0)


def schedule(plan: Plan) -> Iterator[tuple[int, str, str]]:
    """(round, test, peer) in the order of running; each round begins with another peer.

    Bursts take longest and come last, so that they are what a spent budget leaves out.
    """
    short = [name for name in plan.tests if not name.startswith("burst")]
    for tests in (short, [name for name in plan.tests if name not in short]):
        for number in range(plan.rounds):
            for name in tests:
                test = plan.test(name)
                peers = [p for p in plan.peers if applies(p, test) and worth_it(plan, number, p, test)]
                turn = number % len(peers) if peers else 0
                for peer in peers[turn:] + peers[:turn]:
                    yield number, name, peer


def run(plan: Plan) -> None:
    """Run the plan; every result is one line of ``plan.results``, as soon as it is there."""
    for folder in (home(), plan.results.parent):
        folder.mkdir(parents=True, exist_ok=True)
    steps = list(schedule(plan))
    _write(plan, {"test": "machine", **machine.describe(home()), "command_quick": plan.quick})
    skipped = 0
    for at, (number, name, peer) in enumerate(steps):
        if plan.left_s() < 20:
            skipped = len(steps) - at
            break
        try:
            for result in measure(plan, number, name, peer):
                _write(plan, result)
        except Exception as exc:  # one broken peer must not end the others' run; it is in the results
            _write(
                plan, {"test": name, "peer": peer, "round": number, "error": f"{type(exc).__name__}: {exc}"}
            )
    _write(plan, {"test": "end", "took_s": round(plan.budget_s - plan.left_s()), "skipped_for_time": skipped})


def _write(plan: Plan, result: dict[str, Any]) -> None:
    line = {"at": round(time.time(), 1), **result}
    with plan.results.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
    words = [str(line.get(key, "")) for key in ("round", "test", "peer", "mode")]
    figures = {name: f"{phase['p50_us']:.0f} µs" for name, phase in line.get("phases", {}).items()}
    said = line.get("error") or line.get("verify") or ""
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {' '.join(words)} {figures or ''} {said}\n")


def measure(plan: Plan, number: int, name: str, peer: str) -> Iterator[dict[str, Any]]:
    """Run one test of one peer once, and the bare retriever beside it where the test compares with it."""
    test = plan.test(name)
    label = {"test": name, "peer": peer, "round": number, "others_busy": machine.wait_for_quiet()}
    timeout_s = max(20.0, min(500.0, plan.left_s()))
    survive = name == "survive"
    job = Job(
        peer,
        test.workload,
        test.retriever,
        keep=survive,
        progress=test.kill,
        warmup=0 if survive else 20,
        max_s=timeout_s / 2,
    )
    backlog = _backlog() if load(peer).backlog else None
    bare = Session(replace(job, bare=True), timeout_s=timeout_s)
    session = Session(job, timeout_s=timeout_s, backlog=backlog)
    if test.compares_latency:
        with bare, session:
            for phase in test.phases:
                take_turns(phase, [bare.process, session.process])
            yield {**label, "mode": "bare", **bare.end()}
            yield {**label, "mode": "peer", **session.end(), **session.warnings()}
        return
    if test.bare:
        with bare:
            yield {**label, "mode": "bare", **_alone(bare, test)}
    with session:
        if test.kill:
            kill_s = random.Random(f"{plan.seed} {number} {peer}").uniform(1.5, 3.0 if plan.quick else 8.0)
            yield {**label, "mode": "peer", **_kill(session, test.phases[-1], kill_s)}
        else:
            yield {**label, "mode": "peer", **_alone(session, test), **session.warnings()}


def take_turns(phase: Phase, processes: list[Process]) -> None:
    """Run a phase in all processes, so close in time that a drift of the machine's speed hits all alike.

    Paced calls leave the cores idle, so the processes run side by side, half an interval apart; flat
    out they go in turns of ``TURN_CALLS``.
    """
    if phase.rate_hz:
        for process in processes:
            process.start(phase)
            time.sleep(0.5 / phase.rate_hz)
        for process in processes:
            process.wait_for("RAN")
        return
    for first in range(0, phase.calls, TURN_CALLS):
        for process in processes:
            process.run(replace(phase, calls=min(TURN_CALLS, phase.calls - first)))


def _alone(session: Session, test: Measurement) -> dict[str, Any]:
    """Run all phases with both cores to itself, end, and read back what was stored."""
    for phase in test.phases:
        session.process.run(phase)
    result = session.end()
    if session.job.bare:
        return result
    if result["delivered"] is not None and not session.job.keep:
        result["verify"] = {"returned": result["done"], "lost": result["done"] - result["delivered"]}
    elif session.peer.stores or session.job.keep:
        result["verify"] = session.verify(result["done"])
    return result


def _kill(session: Session, phase: Phase, kill_s: float) -> dict[str, Any]:
    session.process.start(phase)
    time.sleep(kill_s)
    returned = session.kill()
    return {"killed_after_s": round(kill_s, 2), "verify": session.verify(returned)}


def _backlog() -> Path:
    """A folder with an unmerged journal, made once per state of the code; each use gets a copy."""
    folder = run_folder() / "backlog"
    stamp = folder / "code"
    code = str(max(path.stat().st_mtime_ns for path in (checkout() / "src").rglob("*.py")))
    if stamp.exists() and stamp.read_text("utf-8") == code:
        return folder / "store"
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "store").mkdir(parents=True)
    command = [str(python_of("ragwheel")), "-m", "capture.backlog", str(folder / "store"), str(BACKLOG_CALLS)]
    subprocess.run(command, check=True, timeout=300, env=worker_environment())
    stamp.write_text(code, "utf-8")
    return folder / "store"
