"""The peers by name. To add one: a class after ``base.Peer`` in a module here, and a line in ``PEERS``."""

from __future__ import annotations

from importlib import import_module

from capture.peers.base import Peer

__all__ = ["DEFAULT", "GROUPS", "PEERS", "Peer", "expand", "load"]

PEERS = {
    "span_only": "byhand:SpanOnly",
    "ragwheel": "ours:Ragwheel",
    "ragwheel_backlog": "ours:RagwheelBacklog",
    "ragwheel_langchain": "ours:RagwheelLangChain",
    "hand_batch": "byhand:HandBatch",
    "hand_commit": "byhand:HandCommit",
    "oi_jsonl": "openinference:OpenInferenceJsonl",
    "oi_phoenix": "openinference:OpenInferencePhoenix",
    "traceloop": "traceloop:Traceloop",
    "langfuse": "langfuse:Langfuse",
    "mlflow": "mlflow:Mlflow",
}
GROUPS = {
    "ours": ["ragwheel", "ragwheel_backlog", "ragwheel_langchain"],
    "byhand": ["hand_batch", "hand_commit"],
    "all": list(PEERS),
}
DEFAULT = GROUPS["all"]


def expand(names: list[str]) -> list[str]:
    """Peers of ``names``, which may be names of groups; raises SystemExit on an unknown one."""
    found: dict[str, None] = {}
    for name in names:
        if name not in PEERS and name not in GROUPS:
            allowed = ", ".join([*PEERS, *GROUPS])
            raise SystemExit(f"no peer or group is called {name!r}; allowed are: {allowed}")
        found.update(dict.fromkeys(GROUPS.get(name, [name])))
    return list(found)


def load(name: str) -> type[Peer]:
    """The class of a peer; imports nothing that the peer needs."""
    module, attribute = PEERS[name].split(":")
    peer: type[Peer] = getattr(import_module(f"capture.peers.{module}"), attribute)
    return peer
