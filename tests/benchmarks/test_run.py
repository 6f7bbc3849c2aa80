from __future__ import annotations

import json
from pathlib import Path

import pytest
from benchmarks.measure import Target
from benchmarks.serving.rounds import Match
from benchmarks.serving.run import MatchReport, finish, option_parser, play_all
from benchmarks.serving.subjects import Subject


class Found(MatchReport):
    @property
    def targets(self) -> list[Target]:
        return []


class Noted(Match):
    seen: list[str]

    def rehearse(self) -> None:
        self.seen.append(f"{self.subject.key} rehearses")

    def play(self, seconds: int) -> None:
        self.seen.append(f"{self.subject.key} plays {seconds} s")


def test_all_rehearse_before_they_take_turns():
    matches = [Noted(Subject(key, Path(), (), (), ()), [], Path()) for key in ("a", "b")]
    seen: list[str] = []
    for match in matches:
        match.seen = seen
    play_all(matches, 2, 3)
    assert seen == ["a rehearses", "b rehearses", *["a plays 3 s", "b plays 3 s"] * 2]


@pytest.mark.parametrize(("failures", "code"), [({}, 0), ({"us, forest": "it refused 3"}, 1)])
def test_a_run_is_published_and_ends_with_whether_anybody_failed(tmp_path, capsys, failures, code):
    parser = option_parser("monitoring", "What it does.", rounds=4, seconds=1)
    options = parser.parse_args(["--results", str(tmp_path / "new" / "x.json")])
    found = Found("2026-01-01", "command", {}, [], failures)
    assert finish(found, options, parser.prog) == code
    assert json.loads(options.results.read_text())["failures"] == failures
    assert ("Left out" in capsys.readouterr().out) == bool(failures)


def test_results_are_named_by_the_command_and_its_own_figures_hold_if_nobody_says_otherwise():
    parser = option_parser("serving", "What it does.", rounds=5, seconds=4)
    options = parser.parse_args([])
    assert (options.rounds, options.seconds, options.docs) == (5, 4, None)
    assert options.results.parts[-3:] == ("benchmarks", "results", "serving.json")
