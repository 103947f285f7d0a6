"""How much people look at each rank: estimates, how sure they are, and when there can be none.

``docs/position-bias.md`` says which estimator needs what.
"""

from __future__ import annotations

from ragwheel.labels.position.cells import Cells
from ragwheel.labels.position.interventions import Served, Swapped, harvested, randomised
from ragwheel.labels.position.ratios import pbm
from ragwheel.labels.position.result import Examination

__all__ = ["Cells", "Examination", "Served", "Swapped", "harvested", "pbm", "randomised"]
