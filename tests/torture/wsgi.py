"""The application that gunicorn serves: one request is one step, and its answer is the acknowledgement."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from urllib.parse import parse_qs

from tests.torture import workload

import ragwheel

NULL = os.open(os.devnull, os.O_WRONLY)

ragwheel.configure(os.environ["RAGWHEEL_TORTURE_DB"], merge_interval_s=0.005)
# With --preload this runs in the process that forks: its merger is at work while workers are made.
workload.work(f"m{os.getpid() % 1000:03d}", NULL, 20)


def app(environ: dict[str, str], start_response: Callable[..., object]) -> Iterable[bytes]:
    """``/?name=NAME&n=N`` works that step."""
    asked = parse_qs(environ["QUERY_STRING"])
    workload.step(asked["name"][0], int(asked["n"][0]), NULL)
    workload.counted()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
