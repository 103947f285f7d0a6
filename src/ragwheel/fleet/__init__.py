"""A fleet of servers with a store each and one lake of exported traces (``docs/fleet.md``)."""

from __future__ import annotations

import ragwheel.labels  # noqa: F401 - first: says which extra is missing
from ragwheel.fleet.erasing import LakeErasure, erase_from_lake
from ragwheel.fleet.pulling import PulledLake, pull
from ragwheel.fleet.shipping import Shipment, prune_shipped, ship, ship_once

__all__ = [
    "LakeErasure",
    "PulledLake",
    "Shipment",
    "erase_from_lake",
    "prune_shipped",
    "pull",
    "ship",
    "ship_once",
]
