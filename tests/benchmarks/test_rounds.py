from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from benchmarks.serving.rounds import Match
from benchmarks.serving.servers import Place, Server
from benchmarks.serving.subjects import Subject, Table

ONE = Table([{"x": 1}], [1])


class NotThere(Server):
    key = name = "not there"
    requirements: ClassVar[tuple[str, ...]] = ("/nowhere/peer-1.0-py3-none-any.whl",)

    def command(self, place: Place, port: int) -> list[str | Path]:
        raise AssertionError("it was not installed")


def test_who_cannot_be_installed_is_named_and_left_out(tmp_path):
    match = Match(Subject("linear", tmp_path, (), (ONE,), (ONE,)), [NotThere(())], tmp_path)
    match.rehearse()
    assert list(match.failures) == ["not there"]
    assert "peer-1.0-py3-none-any.whl" in match.failures["not there"]
    match.play(1)  # has nobody to play with
    assert not any(row.samples for section in match.sections() for row in section.rows)


def test_figures_of_who_failed_later_are_not_shown(tmp_path):
    match = Match(Subject("linear", tmp_path, (), (ONE,), (ONE,)), [], tmp_path)
    match.values = {"start": {"a": [1.0, 2.0], "b": [3.0]}}
    match.failures["b"] = "it refused a request"
    (row,) = [row for section in match.sections() for row in section.rows if row.key == "linear-start"]
    assert {name: samples.values for name, samples in row.samples.items()} == {"a": (1.0, 2.0)}
