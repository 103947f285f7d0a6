"""Go round the peers, so that every drift of the machine hits all of them alike, and keep every result."""

from __future__ import annotations

import contextlib
import json
import random
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from capture import machine
from capture.job import Job
from capture.peers import load
from capture.places import CHECKOUT, home, python_of, run_folder, worker_environment
from capture.session import Session
from capture.process import Process
from capture.measurements import TESTS, Measurement, Phase, quick

__all__ = ["Plan", "run"]

BACKLOG_CALLS = 60_000
TURN_CALLS = 50


@dataclass(frozen=True)
class Plan:
    """What to run: ``rounds`` rounds of ``tests`` over ``peers``, within ``budget_s`` seconds."""

    peers: list[str]
    tests: list[str]
    rounds: int
    results: Path
    quick: bool = False
    budget_s: float = 7200.0
    quiet_s: float = 2.0
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


def schedule(plan: Plan) -> Iterator[tuple[int, str, str]]:
    """(round, test, peer) in the order of running; each round begins with another peer."""
    for number in range(plan.rounds):
        for name in plan.tests:
            test = plan.test(name)
            if number >= test.rounds:
                continue
            peers = [p for p in plan.peers if applies(p, test)]
            turn = number % len(peers) if peers else 0
            for peer in peers[turn:] + peers[:turn]:
                yield number, name, peer


def run(plan: Plan) -> None:
    """Run the plan; every result is one line of ``plan.results``, as soon as it is there."""
    plan.results.parent.mkdir(parents=True, exist_ok=True)
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
    shown = {k: v for k, v in line.items() if k not in ("curve", "at")}
    print(json.dumps(shown)[:700], flush=True)


def measure(plan: Plan, number: int, name: str, peer: str) -> Iterator[dict[str, Any]]:
    """Run one test of one peer once, and the bare retriever beside it where the test compares with it."""
    test = plan.test(name)
    label = {"test": name, "peer": peer, "round": number}
    job = Job(peer, test.workload, test.retriever, keep=name == "survive", progress=test.kill)
    if job.keep:
        job = replace(job, warmup=0)
    timeout_s = max(20.0, min(500.0, plan.left_s()))
    job = replace(job, max_s=min(job.max_s, timeout_s / 2))
    label["others_busy"] = machine.wait_for_quiet(at_most_s=plan.quiet_s)
    with contextlib.ExitStack() as stack:
        bare = stack.enter_context(Session(replace(job, bare=True), timeout_s=timeout_s)) if test.bare else None
        session = None
        if peer != "bare":
            backlog = _backlog() if load(peer).backlog else None
            session = stack.enter_context(Session(job, timeout_s=timeout_s, backlog=backlog))
        if session and test.kill:
            kill_s = random.Random(f"{plan.seed} {number} {peer}").uniform(1.5, 3.0 if plan.quick else 8.0)
            yield {**label, "mode": "peer", **_kill(session, test.phases[-1], kill_s)}
            return
        for phase in test.phases:
            take_turns(phase, [s.process for s in (bare, session) if s])
        if bare:
            yield {**label, "mode": "bare", **bare.end()}
        if session:
            yield {**label, "mode": "peer", **_end(session)}


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
    turn = TURN_CALLS if len(processes) > 1 and phase.calls <= TAKE_TURNS_UP_TO else phase.calls
    for first in range(0, phase.calls, turn):
        for process in processes:
            process.run(replace(phase, calls=min(turn, phase.calls - first)))


def _end(session: Session) -> dict[str, Any]:
    result = session.end()
    result |= session.warnings()
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
    code = str(max(path.stat().st_mtime_ns for path in (CHECKOUT / "src").rglob("*.py")))
    if stamp.exists() and stamp.read_text("utf-8") == code:
        return folder / "store"
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "store").mkdir(parents=True)
    command = [str(python_of("ragwheel")), "-m", "capture.backlog", str(folder / "store"), str(BACKLOG_CALLS)]
    subprocess.run(command, check=True, timeout=300, env=worker_environment())
    stamp.write_text(code, "utf-8")
    return folder / "store"
