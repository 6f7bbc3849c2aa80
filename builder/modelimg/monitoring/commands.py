"""``modelimg monitor``: flags → what is added up or written. A part of the command line, which it is hung into."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from modelimg.errors import UsageError

if TYPE_CHECKING:
    from modelimg_runtime.monitor import Baseline

monitor_app = typer.Typer(help="What served models counted: add it up, alert on it, draw it.", no_args_is_help=True)

Offline = Annotated[bool, typer.Option("--offline", help="Use what is in the cache; open no connection to a registry.")]
_PACKAGE = "Folder of a model package, or an image as for `modelimg inspect`."


@monitor_app.command()
def merge(
    sources: Annotated[
        list[str], typer.Argument(metavar="FILE|URL...", help="Documents of /monitor.json; - is standard input.")
    ],
    package: Annotated[str | None, typer.Option("--package", help=f"{_PACKAGE} Reports on the sum.")] = None,
    window: Annotated[
        str, typer.Option("--window", help="total, the last 90m, 24h or 7d, or START/END in ISO 8601.")
    ] = "total",
    out: Annotated[Path | None, typer.Option("-o", "--output", help="File for the sum, itself a document.")] = None,
    fail_on: Annotated[
        list[str] | None,
        typer.Option("--fail-on", help="Exit with 3 on: drift, predictions or performance; may be repeated."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print data instead of text.")] = False,
    offline: Offline = False,
) -> None:
    """Add up what replicas counted, or one of them on several days, and report on the sum."""
    from modelimg.monitoring import merge as merging
    from modelimg.monitoring.tables import print_report, print_summary

    span, wanted = merging.read_window(window), merging.read_fail_on(fail_on or ())
    if wanted and package is None:
        raise UsageError("--fail-on compares with the packed profiles", hint="name them with --package")
    baseline = _baseline(package, offline=offline) if package is not None else None
    document = merging.merge(sources)
    found = merging.summary(document, span)
    report = merging.compare(document, baseline, span) if baseline is not None else None
    if out is not None:
        merging.write(document, out)
    if as_json:
        typer.echo(json.dumps((report or found).to_dict(), indent=2, ensure_ascii=False))
    elif report is not None:
        print_report(found, report)
    else:
        print_summary(found)
    if report is not None:
        merging.check(report, wanted)


@monitor_app.command()
def export(
    package: Annotated[str, typer.Argument(metavar="PACKAGE|IMAGE", help=_PACKAGE)],
    out: Annotated[
        Path, typer.Option("-o", "--output", help="Folder for dashboard.json, alerts.yml, alerts.test.yml.")
    ],
    job: Annotated[
        str | None, typer.Option("--job", help="Prometheus's job that scrapes the model. Default: the model's name.")
    ] = None,
    offline: Offline = False,
) -> None:
    """Write a Grafana dashboard, Prometheus alert rules, and tests of these for promtool."""
    from modelimg.monitoring.export import export as write_files

    for path in write_files(_baseline(package, offline=offline), out, job=job):
        typer.echo(path)


def _baseline(text: str, *, offline: bool) -> Baseline:
    from modelimg.cache import Cache
    from modelimg.fetch import Fetcher
    from modelimg.monitoring.baseline import baseline_of

    with Fetcher(Cache.default(), offline=offline) as fetcher:
        return baseline_of(text, fetcher)
