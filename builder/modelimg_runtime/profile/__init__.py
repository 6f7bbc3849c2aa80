"""Profiles of data: bounded in size, the same whenever they are made, and the sum of the profiles of parts.

Two passes over the data: surveys of the parts merge into one, which chooses the bins (`Plan`); tallies of the parts
merge into one, which is the profile. docs/reference/profile.md has the format and the formulas.

A server reads profiles and makes none, so what makes them is imported when it is asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from modelimg_runtime.profile.binner import Binner as Binner
    from modelimg_runtime.profile.bins import Bins as Bins
    from modelimg_runtime.profile.bins import CategoryBins as CategoryBins
    from modelimg_runtime.profile.bins import NumberBins as NumberBins
    from modelimg_runtime.profile.column import ColumnProfile as ColumnProfile
    from modelimg_runtime.profile.input import InputProfile as InputProfile
    from modelimg_runtime.profile.output import OutputProfile as OutputProfile
    from modelimg_runtime.profile.plan import ColumnPlan as ColumnPlan
    from modelimg_runtime.profile.plan import Plan as Plan
    from modelimg_runtime.profile.plan import Tally as Tally
    from modelimg_runtime.profile.survey import Survey as Survey

_HOMES = {
    "binner": ("Binner",),
    "bins": ("Bins", "CategoryBins", "NumberBins"),
    "column": ("ColumnProfile",),
    "input": ("InputProfile",),
    "output": ("OutputProfile",),
    "plan": ("ColumnPlan", "Plan", "Tally"),
    "survey": ("Survey",),
}


def __getattr__(name: str) -> Any:
    for module, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
