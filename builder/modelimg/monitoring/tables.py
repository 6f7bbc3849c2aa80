"""Counts and reports as text for people."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from modelimg.monitoring.merge import Summary
from modelimg_runtime.drift.report import DRIFT, ColumnDrift
from modelimg_runtime.monitor import MonitorReport
from modelimg_runtime.monitor.counts import Counts, iso
from modelimg_runtime.monitor.report import BLIND
from modelimg_runtime.profile.output import Estimate

_CALM_SHOWN = 5
"""Columns that did not drift; whoever wants all of them asks for JSON."""
_REASONS = {"distribution": "values", "missing": "missing", "unseen": "unseen", "out_of_range": "out of range"}


def print_summary(found: Summary, console: Console | None = None) -> None:
    """Print whose counts they are and how many."""
    console = console or Console()
    console.print(_facts(found))


def print_report(found: Summary, report: MonitorReport, console: Console | None = None) -> None:
    """Print the headline, what drifted first, the answers, and how good they were."""
    console = console or Console()
    console.print(_facts(found))
    console.print(Text(f"\n{headline(report)}", style="bold"))
    shown = [column for column in report.inputs.columns if column.status == DRIFT]
    calm = [column for column in report.inputs.columns if column.status != DRIFT]
    console.print(_columns("columns, worst first", [*shown, *calm[:_CALM_SHOWN]]))
    if len(calm) > _CALM_SHOWN:
        console.print(Text(f"and {len(calm) - _CALM_SHOWN} more that did not drift", style="dim"))
    console.print(_columns("answers", list(report.outputs.columns)))
    if report.metrics:
        console.print(_performance(report))
    if report.estimated_accuracy is not None:
        console.print(Text(f"\naccuracy, estimated: {_interval(report.estimated_accuracy)}{_expected(report)}"))
        console.print(Text(BLIND, style="dim"))


def headline(report: MonitorReport) -> str:
    """One sentence: how many of how many columns drifted."""
    inputs = report.inputs
    if inputs.share is None:
        return f"insufficient data: {report.counts.rows} rows, and nothing is said below {inputs.thresholds.rows}"
    known = sum(column.status != "insufficient data" for column in inputs.columns)
    drifted = (
        f"{len(inputs.drifted)} of {known} columns drifted" if inputs.drifted else f"none of {known} columns drifted"
    )
    answers = (
        f"the answers drifted: {', '.join(report.outputs.drifted)}" if report.outputs.drifted else "the answers did not"
    )
    return f"{drifted} ({inputs.share:.0%}); {answers}"


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", header_style="dim", box=None)
    table.show_header = bool(columns)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _facts(found: Summary) -> Table:
    document, counts = found.document, found.counts
    table = _table("counts")
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(overflow="fold")
    values = {
        "model": f"{document.identity.name} {document.identity.version}",
        "replicas": str(len(document.replicas)),
        "window": found.span.text if found.span else "total, since the counters began",
        "rows": f"{counts.rows:,}",
        "from, to": _times(counts),
        "labels": f"{counts.labels:,}",
        "feedback": ", ".join(f"{name} {count:,}" for name, count in counts.feedback.items() if count) or "none",
    }
    for key, value in values.items():
        table.add_row(key, Text(value))
    return table


def _times(counts: Counts) -> str:
    return f"{iso(counts.first)}, {iso(counts.last)}" if counts.first is not None else "no rows"


def _columns(title: str, columns: list[ColumnDrift]) -> Table:
    table = _table(f"\n{title}", "column", "verdict", "because of", "PSI", "threshold", "missing", "was")
    for column in columns:
        table.add_row(
            Text(column.name),
            Text(column.status, style="bold red" if column.status == DRIFT else ""),
            ", ".join(_REASONS.get(reason, reason) for reason in column.reasons),
            *_index(column),
            f"{column.missing.live:.1%}",
            f"{column.missing.reference:.1%}",
        )
    return table


def _index(column: ColumnDrift) -> tuple[str, str]:
    if column.distribution is None:
        return "", ""
    return f"{column.distribution.psi.value:.3f}", f"{column.distribution.psi.threshold:.3f}"


def _performance(report: MonitorReport) -> Table:
    table = _table(f"\nperformance, of {report.labels:,} labels", "metric", "live", "packed", "")
    for metric in report.metrics:
        packed = _interval(metric.packed) if metric.packed else ""
        table.add_row(
            metric.name, _interval(metric.live), packed, Text("worse", style="bold red") if metric.worse else ""
        )
    return table


def _interval(found: Estimate) -> str:
    return f"{found.value:.4g} ({found.low:.4g} to {found.high:.4g})"


def _expected(report: MonitorReport) -> str:
    return "" if report.expected_accuracy is None else f"; at packing {report.expected_accuracy:.4g}"
