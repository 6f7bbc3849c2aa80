"""The story: our server beside others, for the same models, under the same load, in one run.

Usage: python -m benchmarks.serving [--only SERVER,…] [--without SERVER,…] [--rounds N] [--seconds N] [--docs PAGE]

All take turns; every figure is shown as a median with its spread, and compared as a ratio of medians. The exit code is
1 where a server could not be installed or started, answered otherwise than scikit-learn, or refused a request.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import models, report
from benchmarks.command import alone, some_of
from benchmarks.measure import Target
from benchmarks.serving.rounds import Match, failures_of
from benchmarks.serving.run import MatchReport, begin, finish, option_parser, play_all
from benchmarks.serving.servers import Constant, Modelimg, Pandera, Pydantic, Server, SlowPath
from benchmarks.serving.subjects import make_subjects
from benchmarks.serving.targets import targets
from benchmarks.serving.tools import BentoML, LitServe, MLflow, MLServer, Vetiver
from benchmarks.serving.venvs import make_venv, numeric, version

_PROGRAM = "python -m benchmarks.serving"
_LOCKED: tuple[type[Server], ...] = (Modelimg, SlowPath, Constant)
_PEERS: tuple[type[Server], ...] = (Pydantic, Pandera, Vetiver, LitServe, MLServer, BentoML, MLflow)
_KEYS = [kind.key for kind in (*_LOCKED, *_PEERS)]


class ServingReport(MatchReport):
    """A whole run."""

    @property
    def targets(self) -> list[Target]:
        """What the run is held against."""
        return targets(self.rows)


def main() -> int:
    """Train, pack, install, compare answers, measure, report."""
    options = _options()
    facts = begin()
    with alone():
        subjects = make_subjects(options.work / "subjects")
        pins = models.requirements(subjects[0].package).split()
        servers = _servers(pins, options.only - options.without)
        matches = [Match(subject, servers, options.work) for subject in subjects]
        play_all(matches, options.rounds, options.seconds)
    everywhere = set.intersection(*(set(match.failures) for match in matches))
    facts |= dict(pin.split("==") for pin in numeric(pins))
    facts |= _versions([server for server in servers if server.name not in everywhere], options.work)
    sections = [section for match in matches for section in match.sections()]
    found = ServingReport(report.today(), " ".join([_PROGRAM, *sys.argv[1:]]), facts, sections, failures_of(matches))
    return finish(found, options, _PROGRAM)


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
    parser = option_parser("serving", __doc__.partition("\n")[0], rounds=5, seconds=4)
    known = some_of(_KEYS)
    parser.add_argument("--only", type=known, default=frozenset(_KEYS), help=f"some of {','.join(_KEYS)}")
    parser.add_argument("--without", type=known, default=frozenset(), help="some of the same")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
