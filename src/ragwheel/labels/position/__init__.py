"""How much people look at each rank: estimates, how sure they are, and when there can be none.

``docs/position-bias.md`` says which estimator needs what.
"""

from __future__ import annotations

from ragwheel.labels.position.cascade import dbn, sdbn
from ragwheel.labels.position.cells import Cells, Lists
from ragwheel.labels.position.em import pbm_em
from ragwheel.labels.position.interventions import Served, Swapped, harvested, randomised
from ragwheel.labels.position.ratios import pbm
from ragwheel.labels.position.result import Examination
from ragwheel.labels.position.trust import Affine, fit_affine, trust
from ragwheel.labels.position.weighing import Weighed, affine, ips

__all__ = [
    "Affine",
    "Cells",
    "Examination",
    "Lists",
    "Served",
    "Swapped",
    "Weighed",
    "affine",
    "dbn",
    "fit_affine",
    "harvested",
    "ips",
    "pbm",
    "pbm_em",
    "randomised",
    "sdbn",
    "trust",
]
