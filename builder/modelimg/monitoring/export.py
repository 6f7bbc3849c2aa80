"""Writing what Prometheus and Grafana read of a model's packed profiles."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from modelimg.errors import PackageError, UsageError
from modelimg.files import replace_text
from modelimg.monitoring.dashboard import dashboard
from modelimg.monitoring.rules import rule_file
from modelimg.monitoring.ruletests import test_file
from modelimg.monitoring.yamltext import dump
from modelimg_runtime.contract import canonical_json
from modelimg_runtime.monitor import Baseline

DASHBOARD: Final = "dashboard.json"
RULES: Final = "alerts.yml"
RULE_TESTS: Final = "alerts.test.yml"


def export(baseline: Baseline, folder: Path, *, job: str | None = None) -> list[Path]:
    """Write ``dashboard.json``, ``alerts.yml`` and ``alerts.test.yml``; equal profiles give equal bytes.

    Args:
        baseline: of the model.
        folder: made where it is not there.
        job: label ``job`` of the model's series in Prometheus; by default the model's name.

    Returns:
        The files.

    Raises:
        UsageError: a file cannot be written, or the job has no name.
        PackageError: a name of the model's is no text that can be written.
    """
    if job == "":
        raise UsageError("--job needs a name", hint="Prometheus's scrape_configs name the job")
    _check_names(baseline)
    written = []
    for name, text in _files(baseline, job):
        try:
            replace_text(folder / name, text)
        except OSError as error:
            raise UsageError(f"{folder / name} cannot be written: {error.strerror}") from error
        written.append(folder / name)
    return written


def _check_names(baseline: Baseline) -> None:
    """Half a surrogate pair stands in JSON, and nowhere else."""
    columns = (*baseline.input.columns, *baseline.output.predictions)
    names = [name for column in columns for name in (column.name, *column.bins.labels)]
    try:
        "\n".join(names).encode()
    except UnicodeEncodeError as error:
        raise PackageError(
            f"a name in the profiles is no text: {error.object[error.start - 9 : error.end]!r}"
        ) from error


def _files(baseline: Baseline, job: str | None) -> Iterator[tuple[str, str]]:
    model = baseline.identity
    told = f"# Of {model.name!r}, version {model.version!r}. Written by `modelimg monitor export`.\n"
    own = model.name if job is None else job
    yield DASHBOARD, canonical_json(dashboard(baseline, job))
    yield RULES, told + dump(rule_file(baseline, own))
    yield RULE_TESTS, told + f"# promtool test rules {RULE_TESTS}\n" + dump(test_file(baseline, own, RULES))
