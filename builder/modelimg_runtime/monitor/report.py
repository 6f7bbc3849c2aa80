"""What is to be said of live data: which columns drifted, how sure the answers are, and how good they were."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final

from modelimg_runtime.drift import DriftReport, Thresholds, drift_report
from modelimg_runtime.drift.estimate import estimated_accuracy
from modelimg_runtime.monitor.baseline import Baseline
from modelimg_runtime.monitor.counts import Counts, iso
from modelimg_runtime.monitor.document import Document
from modelimg_runtime.monitor.layout import Layout
from modelimg_runtime.monitor.performance import comparable, worse
from modelimg_runtime.monitor.scheme import Sums
from modelimg_runtime.monitor.span import TOTAL, Span
from modelimg_runtime.profile.output import CONFIDENCE, Estimate

BLIND: Final = (
    "This is estimated from how confident the model is, without labels. It cannot see that the same inputs came to "
    "mean another label (concept drift): only labels can."
)
"""What is to stand beside every accuracy that was estimated."""


@dataclass(frozen=True)
class Metric:
    """One metric of the labelled rows, beside what it was at packing.

    Attributes:
        name: as in ``metrics.json``.
        live: with its 95 % interval.
        packed: the same on the packed split; None where it is not known.
        worse: whether it is worse than at packing by more than both intervals leave open.
    """

    name: str
    live: Estimate
    packed: Estimate | None
    worse: bool


@dataclass(frozen=True)
class MonitorReport:
    """See the module.

    Attributes:
        span: that was asked for; None since the counters began.
        replicas: whose counters were added up.
        counts: in the bins of the profiles.
        inputs: drift of the columns; its ``share`` is the headline.
        outputs: drift of predictions, probabilities and confidence.
        estimated_accuracy: without labels; None without calibration, or of too few rows. `BLIND` belongs beside it.
        expected_accuracy: the same estimate on the packed split itself.
        labels: how many came, of rows in the span.
        metrics: of the labelled rows, those that were packed first.
        performance: the sums that they are of, such as the confusion matrix.
    """

    span: Span | None
    replicas: int
    counts: Counts
    inputs: DriftReport
    outputs: DriftReport
    estimated_accuracy: Estimate | None
    expected_accuracy: float | None
    labels: int
    metrics: tuple[Metric, ...]
    performance: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        counts = self.counts
        return {
            "window": self.span.text if self.span else TOTAL,
            "replicas": self.replicas,
            "rows": counts.rows,
            "first": iso(counts.first),
            "last": iso(counts.last),
            "inputs": self.inputs.to_dict(),
            "outputs": self.outputs.to_dict(),
            "estimated_accuracy": self.estimated_accuracy and asdict(self.estimated_accuracy) | {"blind": BLIND},
            "expected_accuracy": self.expected_accuracy,
            "feedback": dict(counts.feedback),
            "labels": self.labels,
            "metrics": [asdict(metric) for metric in self.metrics],
            "performance": self.performance,
        }


def report(
    document: Document, baseline: Baseline, span: Span | None = None, thresholds: Thresholds | None = None
) -> MonitorReport:
    """Compare what was counted with the packed profiles.

    Args:
        document: of one replica or several.
        baseline: of the model.
        span: of time; since the counters began where None.
        thresholds: what counts as drift.

    Raises:
        ValueError: the document is of another model or of other profiles.
    """
    if document.identity != baseline.identity:
        raise ValueError(
            f"the counts are of {document.identity.name} {document.identity.version}, and not of this package's model"
        )
    layout, profile = Layout(baseline), baseline.output
    counts = layout.nothing() + document.counts(span)
    calibration, scheme = profile.calibration, layout.scheme
    sums = Sums(counts.performance, counts.sums)
    live = scheme.estimates(sums) if scheme else {}
    return MonitorReport(
        span=span,
        replicas=len(document.replicas),
        counts=counts,
        inputs=drift_report(baseline.input.columns, counts.inputs, thresholds),
        outputs=drift_report(profile.columns, counts.outputs, thresholds),
        estimated_accuracy=estimated_accuracy(calibration, counts.outputs[CONFIDENCE])
        if calibration is not None and profile.confidence is not None
        else None,
        expected_accuracy=profile.expected_accuracy,
        labels=counts.labels,
        metrics=tuple(
            Metric(name, live[name], profile.metrics.get(name), worse(name, live[name], profile.metrics.get(name)))
            for name in comparable(profile.metrics, live)
        ),
        performance=scheme.describe(sums) if scheme else {},
    )
