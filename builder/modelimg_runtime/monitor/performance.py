"""How good the answers were, once it is known what would have been right.

What is kept of each labelled row is a few sums, so replicas and windows add up. The metrics are those of the package's
``metrics.json``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from modelimg_runtime.monitor.baseline import Baseline
from modelimg_runtime.monitor.classes import Classes, Labels
from modelimg_runtime.monitor.numbers import Numbers
from modelimg_runtime.monitor.scheme import Scheme
from modelimg_runtime.profile.bins import CategoryBins
from modelimg_runtime.profile.output import Estimate

ERRORS: Final = frozenset({"mae", "rmse", "log_loss"})
"""Metrics of which less is better."""


def scheme_of(baseline: Baseline) -> Scheme | None:
    """How the answers of a model are judged; None where there is nothing that could be right."""
    predictions = baseline.output.predictions
    if baseline.task == "regression":
        return Numbers(predictions)
    if baseline.task != "classification" or not all(isinstance(each.bins, CategoryBins) for each in predictions):
        return None
    return Classes(predictions[0]) if len(predictions) == 1 else Labels(predictions)


def worse(name: str, live: Estimate, packed: Estimate | None) -> bool:
    """Whether a metric is worse than it was at packing by more than both intervals leave open."""
    if packed is None:
        return False
    return live.low > packed.high if name in ERRORS else live.high < packed.low


def comparable(packed: Mapping[str, Estimate], live: Mapping[str, Estimate]) -> list[str]:
    """Names of the metrics that are known live, those that were packed first."""
    return [name for name in packed if name in live] + [name for name in live if name not in packed]
