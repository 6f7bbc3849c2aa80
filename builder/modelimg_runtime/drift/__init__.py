"""Drift: the baked profile against counts in the same bins, with thresholds that know the sample size."""

from modelimg_runtime.drift.report import ColumnDrift, Distribution, DriftReport, Finding, Statistic, drift_report
from modelimg_runtime.drift.thresholds import Thresholds

__all__ = ["ColumnDrift", "Distribution", "DriftReport", "Finding", "Statistic", "Thresholds", "drift_report"]
