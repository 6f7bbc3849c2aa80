"""What monitoring costs: the same server with it and without it, slice by slice; memory of the counters; their pages.

Usage: python -m benchmarks.monitoring [--rounds N] [--pairs N] [--seconds N] [--docs PAGE]

Both take turns under the same load, for the models of `benchmarks.serving`. The exit code is 1 where a server could not
be started, answered otherwise than scikit-learn, or refused a request.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence

from benchmarks import models, report
from benchmarks.command import alone
from benchmarks.measure import OURS, Row, Section, Slices, Target
from benchmarks.pairs import SIZES, Paired
from benchmarks.reading import Monitored, Reading, make_wide, sections_of
from benchmarks.serving.rounds import failures_of
from benchmarks.serving.run import MatchReport, begin, finish, option_parser, play_all
from benchmarks.serving.servers import Modelimg, Place
from benchmarks.serving.subjects import NAMES, make_subjects
from benchmarks.serving.venvs import make_venv

OFF = f"{OURS}, monitoring off"

_PROGRAM = "python -m benchmarks.monitoring"
_KEPT = 0.9
_PER_COLUMN = 5.0
"""kB of counters: twice what 24 arrays with 13 bins for each column take, since the answers are counted as well."""
_COMPARED = {"throughput": "Throughput", "processor": "Processor time of a request", "p50": "Latency (p50)"}


class Unmonitored(Modelimg):
    """The same without counting."""

    key, name = "unmonitored", OFF

    def environment(self, place: Place, port: int) -> dict[str, str]:
        """See `Server`."""
        return {**super().environment(place, port), "MODELIMG_MONITOR": "off"}


class MonitoringReport(MatchReport):
    """A whole run."""

    @property
    def targets(self) -> list[Target]:
        """What the run is held against."""
        return [*_throughput(self.rows), *_memory(self.rows)]


def main() -> int:
    """Train, pack, measure, report."""
    options = _options()
    facts = begin()
    with alone():
        subjects = make_subjects(options.work / "subjects")
        wide = make_wide(options.work / "subjects" / "wide", subjects[0].package / models.LOCK)
        pins = models.requirements(subjects[0].package).split()
        servers = [Monitored(pins), Unmonitored(pins)]
        matches = [Paired(subject, servers, options.work, pairs=options.pairs) for subject in subjects]
        play_all(matches, options.rounds, options.seconds)
        python, places = make_venv(options.work / "venvs", pins), options.work / "places" / "monitoring"
        readings = [Reading(Place(subject, python, places / subject.key)) for subject in (subjects[0], wide)]
        for _ in range(options.rounds):
            for reading in readings:
                reading.play(pins)
    loads = [section for match in matches for section in match.sections()]
    sections = [*kept(matches), *loads, *sections_of(readings)]
    command = " ".join([_PROGRAM, *sys.argv[1:]])
    found = MonitoringReport(report.today(), command, facts, sections, failures_of(matches))
    return finish(found, options, _PROGRAM)


def kept(matches: Sequence[Paired]) -> Iterator[Section]:
    """What is had with monitoring, in per cent of what is had without, pair by pair."""
    for quantity, title in _COMPARED.items():
        rows = []
        for size, label in SIZES.items():
            found = {NAMES[match.subject.key]: match.ratios(f"{size}-{quantity}") for match in matches}
            samples = {name: Slices(tuple(100 * share for share in shares)) for name, shares in found.items() if shares}
            rows.append(Row(f"kept-{size}-{quantity}", label, "%", samples))
        yield Section(f"{title} with monitoring, of that without, pair by pair", tuple(rows))


def _throughput(rows: Mapping[str, Row]) -> Iterator[Target]:
    found = [row for size in SIZES if (row := rows.get(f"kept-{size}-throughput"))]
    for name in NAMES.values():
        for row in found:
            if samples := row.samples.get(name):
                label = f"{name}: throughput, {row.label}: {OURS} ÷ {OFF}"
                yield Target(label, _KEPT, samples.median / 100, least=True)


def _memory(rows: Mapping[str, Row]) -> Iterator[Target]:
    if row := rows.get("per-column"):
        for name, samples in row.samples.items():
            yield Target(f"{name}: counters of a column", _PER_COLUMN, samples.median, unit=row.unit)


def _options() -> argparse.Namespace:
    parser = option_parser("monitoring", (__doc__ or "").partition("\n")[0], rounds=4, seconds=1)
    parser.add_argument("--pairs", type=int, default=4, help="of loads with monitoring and without, in each round")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
