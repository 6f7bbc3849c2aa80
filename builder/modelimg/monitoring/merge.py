"""Adding up documents of ``/monitor.json``: of replicas, of days, of both."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from modelimg.errors import CheckFailed, DocumentError, UsageError
from modelimg.files import replace_text
from modelimg.monitoring.sources import name_of, read
from modelimg_runtime.monitor import Baseline, Document, MonitorReport, Span, add, report, span_of
from modelimg_runtime.monitor.counts import Counts, iso
from modelimg_runtime.monitor.span import TOTAL

_SHOWN = 5


class FailOn(StrEnum):
    """What ends ``modelimg monitor merge`` with exit code 3."""

    DRIFT = "drift"
    PREDICTIONS = "predictions"
    PERFORMANCE = "performance"


@dataclass(frozen=True)
class Summary:
    """What can be said of counts without the packed profiles.

    Attributes:
        document: the sum.
        span: of time that is asked for; None since the counters began.
        counts: of that span.
    """

    document: Document
    span: Span | None
    counts: Counts

    def to_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        document, counts = self.document, self.counts
        return {
            **document.identity.to_dict(),
            "window": self.span.text if self.span else TOTAL,
            "window_seconds": document.window_seconds,
            "written": iso(document.written),
            "replicas": [replica.id for replica in document.replicas],
            "windows": len(document.windows),
            "rows": counts.rows,
            "first": iso(counts.first),
            "last": iso(counts.last),
            "feedback": dict(counts.feedback),
            "labels": counts.labels,
        }


def read_window(text: str) -> Span | None:
    """Read ``--window``.

    Raises:
        UsageError: it is none.
    """
    try:
        return span_of(text)
    except ValueError as error:
        raise UsageError(f"--window {text}: {error}") from error


def read_fail_on(texts: Iterable[str]) -> frozenset[FailOn]:
    """Read ``--fail-on``.

    Raises:
        UsageError: there is no such thing to fail on.
    """
    try:
        return frozenset(map(FailOn, texts))
    except ValueError as error:
        raise UsageError(f"--fail-on: {error}", hint=f"it is one of {', '.join(FailOn)}") from error


def merge(sources: Sequence[str]) -> Document:
    """The sum of all documents, one read after the other; one that is given twice counts once.

    Args:
        sources: as `modelimg.monitoring.sources.read` takes them.

    Raises:
        UsageError: there are none.
        DocumentError: one cannot be read, is none, or does not add up with the one that stands first.
    """
    if not sources:
        raise UsageError("there is nothing to add up: name files or URLs of /monitor.json")
    found: tuple[Document, Counts] | None = None
    for source in sources:
        document = _document(source)
        counts = _counts(document, source)
        found = (document, counts) if found is None else _plus(found, (document, counts), sources[0], source)
    assert found is not None  # noqa: S101 - there are sources
    return found[0]


def _document(source: str) -> Document:
    data = read(source)
    try:
        return Document.from_json(data)
    except json.JSONDecodeError as error:
        raise DocumentError(
            f"{name_of(source)} is no JSON, or ends too early: {error}",
            hint="fetch /monitor.json once more",
        ) from error
    except (ValueError, RecursionError) as error:
        raise DocumentError(f"{name_of(source)}: {error}") from error


def _counts(document: Document, source: str) -> Counts:
    """All counts of a document, which shows that its parts fit together."""
    try:
        return sum(document.windows.values(), start=document.counts())
    except ValueError as error:
        raise DocumentError(f"{name_of(source)} contradicts itself: {error}") from error


def _plus(
    one: tuple[Document, Counts], two: tuple[Document, Counts], first: str, other: str
) -> tuple[Document, Counts]:
    try:
        return add([one[0], two[0]]), one[1] + two[1]
    except ValueError as error:
        (a, b) = (each[0].identity for each in (one, two))
        models = "" if a == b else f" ({a.name} {a.version}, {b.name} {b.version})"
        raise DocumentError(f"{name_of(first)} and {name_of(other)} do not add up: {error}{models}") from error


def summary(document: Document, span: Span | None) -> Summary:
    """What can be said of the sum without profiles."""
    return Summary(document, span, document.counts(span))


def compare(document: Document, baseline: Baseline, span: Span | None) -> MonitorReport:
    """The report on the sum.

    Raises:
        DocumentError: the counts are of another model or of other profiles.
    """
    try:
        return report(document, baseline, span)
    except (ValueError, KeyError) as error:
        raise DocumentError(
            f"the counts do not belong to the package: {error}", hint="name the package that was served"
        ) from error


def write(document: Document, path: Path) -> None:
    """Write the sum, whole or not at all; it can be added to others again.

    Raises:
        UsageError: the file cannot be written.
    """
    try:
        replace_text(path, document.to_json())
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from error


def check(found: MonitorReport, fail_on: Iterable[FailOn]) -> None:
    """End with what was asked to be a failure.

    Raises:
        CheckFailed: a column drifted, the answers did, or a metric is worse than it was at packing.
    """
    wanted, faults = {*fail_on}, []
    if FailOn.DRIFT in wanted and (names := found.inputs.drifted):
        faults.append(f"{len(names)} of {len(found.inputs.columns)} columns drifted: {_listed(names)}")
    if FailOn.PREDICTIONS in wanted and (names := found.outputs.drifted):
        faults.append(f"the answers drifted: {_listed(names)}")
    if FailOn.PERFORMANCE in wanted and (names := tuple(metric.name for metric in found.metrics if metric.worse)):
        faults.append(f"worse than at packing: {_listed(names)}")
    if faults:
        raise CheckFailed("; ".join(faults))


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
