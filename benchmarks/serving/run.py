"""What the commands that put servers under load share: how a run begins, its rounds, and how it ends."""

from __future__ import annotations

import argparse
import signal
import sys
from abc import ABC
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

from benchmarks import report
from benchmarks.command import publish
from benchmarks.serving.rounds import Match, left_out
from benchmarks.serving.wrk import check_wrk, wrk_version

_RESULTS = Path(__file__).parents[1] / "results"


@dataclass(frozen=True)
class MatchReport(report.Report, ABC):
    """A whole run.

    Attributes:
        failures: who was left out of which model's figures, and why.
    """

    failures: Mapping[str, str]

    @property
    def remarks(self) -> list[str]:
        """Who is missing; the whole reasons are in the JSON."""
        return left_out(self.failures)


def option_parser(module: str, about: str, *, rounds: int, seconds: int) -> argparse.ArgumentParser:
    """A parser of the options that all of them have.

    Args:
        module: of `benchmarks`, the last part of its name, which its results are named by.
        about: what it does.
        rounds: if nobody says how many.
        seconds: of each load, likewise.
    """
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{module}", description=about)
    results = _RESULTS / f"{module}.json"
    parser.add_argument("--rounds", type=int, default=rounds, help="in each, all servers are started anew")
    parser.add_argument("--seconds", type=int, default=seconds, help="of each load")
    parser.add_argument("--work", type=Path, default=user_cache_path("modelimg-benchmarks"), help="folder to keep")
    parser.add_argument("--results", type=Path, default=results, help="JSON file to write")
    parser.add_argument("--docs", type=Path, help="page whose figures are replaced")
    return parser


def begin() -> dict[str, Any]:
    """What a reader needs to know of this machine.

    Raises:
        RuntimeError: ``wrk`` is not there.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that servers are ended then too
    check_wrk()
    return report.machine(wrk=wrk_version())


def play_all(matches: Sequence[Match], rounds: int, seconds: int) -> None:
    """Rehearse, and play rounds in which all models take turns.

    Args:
        matches: one for each model.
        rounds: how many.
        seconds: of each load.
    """
    for match in matches:
        match.rehearse()
    for _ in range(rounds):
        for match in matches:
            match.play(seconds)


def finish(found: MatchReport, options: argparse.Namespace, program: str) -> int:
    """Publish a run.

    Args:
        found: what was measured.
        options: of an `option_parser`.
        program: the command without its options.

    Returns:
        The exit code.
    """
    publish(found, options.results, options.docs, program)
    return 1 if found.failures else 0
