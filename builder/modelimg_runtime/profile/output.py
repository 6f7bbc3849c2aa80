"""``output_profile.json``: what the model's answers looked like on data of its tests, and how good they were."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field

from modelimg_runtime.contract import canonical_json
from modelimg_runtime.profile.calibration import Calibration
from modelimg_runtime.profile.column import ColumnProfile
from modelimg_runtime.profile.input import FORMAT_VERSION, read_document

CONFIDENCE = "confidence"
"""Name of the column that holds the top class's probability."""


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval.

    Attributes:
        value: the number.
        low: lower end.
        high: upper end.
    """

    value: float
    low: float
    high: float

    def __post_init__(self) -> None:
        if not all(map(math.isfinite, (self.value, self.low, self.high))) or self.low > self.high:
            raise ValueError(f"{self.low} to {self.high} is no interval for {self.value}")


@dataclass(frozen=True)
class OutputProfile:
    """See the module.

    Attributes:
        split: that was predicted.
        rows: of it.
        predictions: profiles of ``prediction``, or of ``prediction_0``, ``prediction_1``, …
        scores: of ``probability_<class>``, in the order of the classes; empty where the model gives none.
        confidence: of the top class's probability; None where the model gives none.
        calibration: None where the split has no target, or is the training data.
        expected_accuracy: share of right answers that the calibration gives on the split itself.
        metrics: of the split with bootstrap intervals, by the names of ``metrics.json``.
        dataset_sha256: digest of the split, as in the provenance.
        dataset_kind: of the digest, ``file`` or ``frame-v1``.
        schema_sha256: digest of the output schema.
    """

    split: str
    rows: int
    predictions: tuple[ColumnProfile, ...]
    scores: tuple[ColumnProfile, ...] = ()
    confidence: ColumnProfile | None = None
    calibration: Calibration | None = None
    expected_accuracy: float | None = None
    metrics: Mapping[str, Estimate] = field(default_factory=dict)
    dataset_sha256: str | None = None
    dataset_kind: str | None = None
    schema_sha256: str | None = None

    def __post_init__(self) -> None:
        for column in self.columns:
            if column.n != self.rows:
                raise ValueError(f"column {column.name!r} has {column.n} values, and the profile {self.rows} rows")

    @property
    def columns(self) -> tuple[ColumnProfile, ...]:
        """All that is counted live: predictions, scores, confidence."""
        return tuple(self._columns())

    def _columns(self) -> Iterator[ColumnProfile]:
        yield from self.predictions
        yield from self.scores
        if self.confidence is not None:
            yield self.confidence

    def to_json(self) -> str:
        """Canonical JSON, ending in a line break."""
        return canonical_json(
            {
                "format_version": FORMAT_VERSION,
                "split": self.split,
                "rows": self.rows,
                "predictions": [column.to_dict() for column in self.predictions],
                "scores": [column.to_dict() for column in self.scores],
                "confidence": self.confidence and self.confidence.to_dict(),
                "calibration": self.calibration and self.calibration.to_dict(),
                "expected_accuracy": self.expected_accuracy,
                "metrics": {name: asdict(each) for name, each in self.metrics.items()},
                "dataset": {"sha256": self.dataset_sha256, "kind": self.dataset_kind},
                "schema_sha256": self.schema_sha256,
            }
        )

    @classmethod
    def from_json(cls, text: str | bytes) -> OutputProfile:
        """Read ``output_profile.json``.

        Raises:
            ValueError: not JSON, of a newer format, or with a field that is missing or cannot be.
        """
        data = read_document(text, "an output profile")
        confidence, calibration = data.get("confidence"), data.get("calibration")
        try:
            return cls(
                split=data["split"],
                rows=data["rows"],
                predictions=tuple(map(ColumnProfile.from_dict, data["predictions"])),
                scores=tuple(map(ColumnProfile.from_dict, data["scores"])),
                confidence=None if confidence is None else ColumnProfile.from_dict(confidence),
                calibration=None if calibration is None else Calibration.from_dict(calibration),
                expected_accuracy=data["expected_accuracy"],
                metrics={name: Estimate(**each) for name, each in data["metrics"].items()},
                dataset_sha256=data["dataset"]["sha256"],
                dataset_kind=data["dataset"]["kind"],
                schema_sha256=data["schema_sha256"],
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"the output profile lacks or misnames a field: {error}") from error
