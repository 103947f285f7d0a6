"""Charts of the report say what was measured."""

from __future__ import annotations

import re

import numpy as np
import pytest

from ragwheel.report.charts import forest


@pytest.mark.parametrize("reach", [0.03, 0.16, 0.9])
def test_ticks_of_a_chart_of_differences_are_evenly_spaced_as_they_are_written(reach):
    chart = forest(
        "d", "Differences", [("mine", 0.0, -reach, reach / 3, ""), ("yours", 0.01, None, None, "")]
    )
    ticks = [float(tick.replace("−", "-")) for tick in re.findall(r">([+−]\d[.\d]*|0)<", chart.svg)]
    assert len(ticks) >= 3
    assert 0.0 in ticks
    assert np.diff(ticks) == pytest.approx(np.diff(ticks)[0])
