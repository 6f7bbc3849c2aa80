"""The story: our server beside others, for the same models, under the same load, in one run.

Usage: python -m benchmarks.serving [--only SERVER,…] [--without SERVER,…] [--rounds N] [--seconds N] [--docs PAGE]

All take turns; every figure is shown as a median with its spread, and compared as a ratio of medians. The exit code is
1 where a server could not be installed or started, answered otherwise than scikit-learn, or refused a request.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_cache_path

from benchmarks import models, report
from benchmarks.command import alone, publish, some_of
from benchmarks.measure import Target
from benchmarks.serving.rounds import Match, failures_of, left_out
from benchmarks.serving.servers import Constant, Modelimg, Pandera, Pydantic, Server, SlowPath
from benchmarks.serving.subjects import make_subjects
from benchmarks.serving.targets import targets
from benchmarks.serving.tools import BentoML, LitServe, MLflow, MLServer, Vetiver
from benchmarks.serving.venvs import make_venv, numeric, version
from benchmarks.serving.wrk import check_wrk, wrk_version

_RESULTS = Path(__file__).parent.parent / "results" / "serving.json"
_PROGRAM = "python -m benchmarks.serving"
_LOCKED: tuple[type[Server], ...] = (Modelimg, SlowPath, Constant)
_PEERS: tuple[type[Server], ...] = (Pydantic, Pandera, Vetiver, LitServe, MLServer, BentoML, MLflow)
_KEYS = [kind.key for kind in (*_LOCKED, *_PEERS)]


@dataclass(frozen=True)
class ServingReport(report.Report):
    """A whole run.

    Attributes:
        failures: who was left out of which model's figures, and why.
    """

    failures: Mapping[str, str]

    @property
    def targets(self) -> list[Target]:
        """What the run is held against."""
        return targets(self.rows)

    @property
    def remarks(self) -> list[str]:
        """Who is missing; the whole reasons are in the JSON."""
        return left_out(self.failures)


def main() -> int:
    """Train, pack, install, compare answers, measure, report."""
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that servers are ended then too
    check_wrk()
    facts = report.machine(wrk=wrk_version())
    with alone():
        subjects = make_subjects(options.work / "subjects")
        pins = models.requirements(subjects[0].package).split()
        servers = _servers(pins, options.only - options.without)
        matches = [Match(subject, servers, options.work) for subject in subjects]
        for match in matches:
            match.rehearse()
        for _ in range(options.rounds):
            for match in matches:
                match.play(options.seconds)
    failures = failures_of(matches)
    everywhere = set.intersection(*(set(match.failures) for match in matches))
    facts |= dict(pin.split("==") for pin in numeric(pins))
    facts |= _versions([server for server in servers if server.name not in everywhere], options.work)
    sections = [section for match in matches for section in match.sections()]
    found = ServingReport(report.today(), " ".join([_PROGRAM, *sys.argv[1:]]), facts, sections, failures)
    publish(found, options.results, options.docs, _PROGRAM)
    return 1 if failures else 0


def _servers(pins: Sequence[str], keys: frozenset[str]) -> list[Server]:
    """Those of these keys: ours and the floor with the packages of an image, peers with the model's own."""
    known = [kind(pins) for kind in _LOCKED] + [kind(numeric(pins)) for kind in _PEERS]
    return [server for server in known if server.key in keys]


def _versions(servers: Sequence[Server], work: Path) -> dict[str, str]:
    versions = {}
    for server in servers:
        if server.distribution:
            python = make_venv(work / "venvs", [*server.pins, *server.requirements])
            versions[server.distribution] = version(python, server.distribution)
    return versions


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=_PROGRAM, description=__doc__.partition("\n")[0])
    known = some_of(_KEYS)
    parser.add_argument("--only", type=known, default=frozenset(_KEYS), help=f"some of {','.join(_KEYS)}")
    parser.add_argument("--without", type=known, default=frozenset(), help="some of the same")
    parser.add_argument("--rounds", type=int, default=5, help="values of each quantity")
    parser.add_argument("--seconds", type=int, default=4, help="of each load")
    parser.add_argument("--work", type=Path, default=user_cache_path("modelimg-benchmarks"), help="folder to keep")
    parser.add_argument("--results", type=Path, default=_RESULTS, help="JSON file to write")
    parser.add_argument("--docs", type=Path, help="page whose figures are replaced")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
