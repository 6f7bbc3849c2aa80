"""What monitoring costs: the same server with it and without it, in one run; memory of the counters; their pages.

Usage: python -m benchmarks.monitoring [--rounds N] [--seconds N] [--docs PAGE]

Both take turns under the same load, for the models of `benchmarks.serving`. The exit code is 1 where a server could not
be started, answered otherwise than scikit-learn, or refused a request.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_cache_path

from benchmarks import models, report
from benchmarks.command import alone, publish
from benchmarks.measure import OURS, Row, Samples, Section, Target
from benchmarks.reading import Monitored, Reading, make_wide, sections_of
from benchmarks.serving.rounds import Match, failures_of, left_out
from benchmarks.serving.servers import Modelimg, Place
from benchmarks.serving.subjects import BATCH, NAMES, make_subjects
from benchmarks.serving.venvs import make_venv
from benchmarks.serving.wrk import check_wrk, wrk_version

OFF = f"{OURS}, monitoring off"

_RESULTS = Path(__file__).parent / "results" / "monitoring.json"
_PROGRAM = "python -m benchmarks.monitoring"
_KEPT = 0.9
_PER_COLUMN = 5.0
"""kB of counters: twice what 24 arrays with 13 bins for each column take, since the answers are counted as well."""
_THROUGHPUT = {"one-throughput": "one row", "batch-throughput": f"{BATCH} rows"}
_LATENCY = {"one-p50": "one row", "batch-p50": f"{BATCH} rows"}


class Unmonitored(Modelimg):
    """The same without counting."""

    key, name = "unmonitored", OFF

    def environment(self, place: Place, port: int) -> dict[str, str]:
        """See `Server`."""
        return {**super().environment(place, port), "MODELIMG_MONITOR": "off"}


@dataclass(frozen=True)
class MonitoringReport(report.Report):
    """A whole run.

    Attributes:
        failures: who was left out of which model's figures, and why.
    """

    failures: Mapping[str, str]

    @property
    def targets(self) -> list[Target]:
        """What the run is held against."""
        return [*_throughput(self.rows), *_memory(self.rows)]

    @property
    def remarks(self) -> list[str]:
        """Who is missing; the whole reasons are in the JSON."""
        return left_out(self.failures)


def main() -> int:
    """Train, pack, measure, report."""
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that servers are ended then too
    check_wrk()
    facts = report.machine(wrk=wrk_version())
    with alone():
        subjects = make_subjects(options.work / "subjects")
        wide = make_wide(options.work / "subjects" / "wide", subjects[0].package / models.LOCK)
        pins = models.requirements(subjects[0].package).split()
        python = make_venv(options.work / "venvs", pins)
        matches = [Match(subject, [Monitored(pins), Unmonitored(pins)], options.work) for subject in subjects]
        places = options.work / "places" / "monitoring"
        readings = [Reading(Place(subject, python, places / subject.key)) for subject in (subjects[0], wide)]
        for match in matches:
            match.rehearse()
        for _ in range(options.rounds):
            for match in matches:
                match.play(options.seconds)
            for reading in readings:
                reading.play(pins)
    loads = [section for match in matches for section in match.sections()]
    sections = [*kept(matches), *loads, *sections_of(readings)]
    failures = failures_of(matches)
    found = MonitoringReport(report.today(), " ".join([_PROGRAM, *sys.argv[1:]]), facts, sections, failures)
    publish(found, options.results, options.docs, _PROGRAM)
    return 1 if failures else 0


def kept(matches: Sequence[Match]) -> Iterator[Section]:
    """Throughput and latency with monitoring in per cent of those without, round by round."""
    for title, labels in (("Throughput", _THROUGHPUT), ("Latency", _LATENCY)):
        rows = []
        for quantity, label in labels.items():
            found = {NAMES[match.subject.key]: _shares(match.values.get(quantity, {})) for match in matches}
            samples = {name: Samples(shares) for name, shares in found.items() if shares}
            rows.append(Row(f"kept-{quantity}", label, "%", samples))
        yield Section(f"{title} with monitoring, of that without, round by round", tuple(rows))


def _shares(values: Mapping[str, Sequence[float]]) -> tuple[float, ...]:
    """Of the values of each round; empty where one of the two was not there in all of them."""
    on, off = values.get(OURS, ()), values.get(OFF, ())
    return tuple(100 * one / other for one, other in zip(on, off, strict=True)) if len(on) == len(off) else ()


def _throughput(rows: Mapping[str, Row]) -> Iterator[Target]:
    for model, name in NAMES.items():
        for quantity in _THROUGHPUT:
            row = rows.get(f"{model}-{quantity}")
            if row and (ratio := row.ratio(OURS, OFF)):
                yield Target(f"{name}: {row.label}: {OURS} ÷ {OFF}", _KEPT, ratio, least=True)


def _memory(rows: Mapping[str, Row]) -> Iterator[Target]:
    if row := rows.get("per-column"):
        for name, samples in row.samples.items():
            yield Target(f"{name}: counters of a column", _PER_COLUMN, samples.median, unit=row.unit)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=_PROGRAM, description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5, help="values of each quantity")
    parser.add_argument("--seconds", type=int, default=4, help="of each load")
    parser.add_argument("--work", type=Path, default=user_cache_path("modelimg-benchmarks"), help="folder to keep")
    parser.add_argument("--results", type=Path, default=_RESULTS, help="JSON file to write")
    parser.add_argument("--docs", type=Path, help="page whose figures are replaced")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
