"""An image's report as tables for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from modelimg.inspect import ImageReport, split_labels_by_prefix
from modelimg.labels import OCI, OWN

_SHORT = 100


def print_report(report: ImageReport, console: Console | None = None) -> None:
    """Print identity, contract, metrics and labels."""
    console = console or Console()
    groups = split_labels_by_prefix(report.labels)
    console.print(_pairs("image", _identity(report)))
    for side, schema in report.schemas.items():
        console.print(_contract(side, schema))
    if report.metrics:
        console.print(_metrics(report.metrics))
    console.print(
        _pairs("provenance and packing", {key.removeprefix(OWN): value for key, value in groups["modelimg"].items()})
    )
    console.print(
        _pairs("standard labels", {key.removeprefix(OCI): value for key, value in groups["standard"].items()})
    )
    if groups["other"]:
        console.print(_pairs("other labels", groups["other"]))


def _identity(report: ImageReport) -> dict[str, str]:
    return {
        "reference": report.reference,
        "id": report.image_id,
        **({"manifest": report.manifest_digest} if report.manifest_digest else {}),
        "platform": report.platform,
        "size": f"{report.size / 1e6:.0f} MB in {len(report.layers)} layers",
    }


def _table(title: str, *columns: str) -> Table:
    table = Table(
        title=title, title_justify="left", title_style="bold", header_style="dim", show_header=bool(columns), box=None
    )
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _pairs(title: str, values: Mapping[str, str]) -> Table:
    table = _table(title)
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(overflow="fold")
    for key, value in values.items():
        table.add_row(key, Text(value if len(value) <= _SHORT else value[: _SHORT - 1] + "…"))
    return table


def _contract(side: str, schema: Any) -> Table:
    """Columns, types and checks; a schema that is code is shown as such."""
    if not isinstance(schema, dict):
        table = _table(f"{side} contract (schemas.py)")
        table.add_column()
        table.add_row(Text(str(schema).strip()))
        return table
    table = _table(f"{side} contract", "column", "type", "null", "checks")
    for name, column in (schema.get("columns") or {}).items():
        checks = {key: value for key, value in column.items() if key not in ("dtype", "nullable")}
        nullable = "yes" if column.get("nullable") else "no"
        table.add_row(Text(name), Text(str(column.get("dtype"))), nullable, Text(_checks(checks)))
    return table


def _checks(checks: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{key} {_argument(value)}" for key, value in checks.items() if value is not None and value is not False
    )


def _argument(value: Any) -> str:
    """``0, 1`` for a range: flags of a check that are on are its default, and would only be noise."""
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, dict):
        return ", ".join(str(item) for item in value.values() if not isinstance(item, bool))
    return str(value)


def _metrics(metrics: Mapping[str, Mapping[str, Any]]) -> Table:
    names = sorted({name for values in metrics.values() for name, value in values.items() if _is_number(value)})
    table = _table("metrics", "metric", *metrics)
    for name in names:
        table.add_row(Text(name), *(f"{values[name]:.6g}" if name in values else "" for values in metrics.values()))
    return table


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
