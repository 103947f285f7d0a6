"""The measurements by name: which workload, which retriever, how many calls."""

from __future__ import annotations

from dataclasses import dataclass, replace

__all__ = ["QUICK", "TESTS", "Measurement", "Phase", "quick"]


@dataclass(frozen=True)
class Phase:
    """``calls`` calls, paced at ``rate_hz`` or, when that is 0, as fast as possible."""

    name: str
    calls: int
    rate_hz: float = 0.0


@dataclass(frozen=True)
class Measurement:
    """One kind of measurement.

    Attributes:
        says: what it measures, for the help and the report.
        phases: what the worker does; a kill ends the last one early.
        bare: also measure the retriever alone, in a second process of the same environment.
        kill: SIGKILL at a random moment instead of a flush.
        stored_only: skip peers that store nothing.
        rounds: rounds of a full run, where fewer than asked for suffice.
    """

    says: str
    phases: tuple[Phase, ...]
    workload: str = "W40"
    retriever: str = "langchain"
    bare: bool = False
    kill: bool = False
    stored_only: bool = False
    rounds: int = 99

    @property
    def compares_latency(self) -> bool:
        """Whether it paces calls beside the bare retriever."""
        return self.bare and any(phase.rate_hz for phase in self.phases)


TESTS = {
    "survive": Measurement("is what is stored whole", (Phase("flat", 4),), rounds=1),
    "latency": Measurement(
        "added in the caller's thread, paced 100/s and flat out, against the same retriever bare",
        (Phase("paced", 500, 100.0), Phase("flat", 1500)),
        bare=True,
    ),
    "sustained": Measurement(
        "until stored, LangChain retriever", (Phase("flat", 2000),), bare=True, rounds=3
    ),
    "capacity": Measurement(
        "until stored, a retriever that costs next to nothing",
        (Phase("flat", 20_000),),
        retriever="plain",
        bare=True,
        rounds=3,
    ),
    "burst": Measurement("20,000 as fast as possible", (Phase("flat", 20_000),), stored_only=True, rounds=3),
    "burst4k": Measurement(
        "800 with 4 KB chunks", (Phase("flat", 800),), "W40x4k", stored_only=True, rounds=1
    ),
    "kill": Measurement(
        "SIGKILL at a random moment",
        (Phase("paced", 20_000, 100.0),),
        kill=True,
        stored_only=True,
        rounds=3,
    ),
}

QUICK = {
    "survive": (4,),
    "latency": (200, 600),
    "sustained": (500,),
    "capacity": (5000,),
    "burst": (20_000,),
    "burst4k": (300,),
    "kill": (20_000,),
}


def quick(name: str) -> Measurement:
    """The measurement with fewer calls, and (but for latency) in one round only."""
    full = TESTS[name]
    phases = tuple(replace(phase, calls=n) for phase, n in zip(full.phases, QUICK[name], strict=True))
    return replace(full, phases=phases, rounds=full.rounds if name == "latency" else 1)
