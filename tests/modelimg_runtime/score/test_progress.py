"""What standard error shows while a file is scored."""

from __future__ import annotations

import io

import pytest

from modelimg_runtime.score.progress import Progress


class Screen(io.StringIO):
    def __init__(self, terminal):
        super().__init__()
        self._terminal = terminal

    def isatty(self):
        return self._terminal


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def shown(mode, terminal, steps, **options):
    """What is written where each step takes some seconds, does some rows, and has read a fraction."""
    screen, clock = Screen(terminal), Clock()
    progress = Progress(mode, screen, clock, **options)
    for seconds, rows, fraction in steps:
        clock.now += seconds
        progress.advance(rows, fraction)
    progress.finish()
    return screen.getvalue()


STEPS = [(2.0, 1000, 0.25), (3.0, 1500, 0.625), (1.0, 500, 0.75)]


def test_a_terminal_has_a_bar_that_is_drawn_over():
    text = shown("auto", True, STEPS)
    assert text.count("\r") == 3
    assert text.endswith("\n")
    assert "[######------------------] 1,000 rows · 500 rows/s · 25% · 0:06 left" in text
    assert "[##################------] 3,000 rows · 500 rows/s · 75% · 0:02 left" in text


def test_a_log_has_a_line_every_five_seconds():
    assert shown("auto", False, STEPS) == "2,500 rows · 500 rows/s · 62% · 0:03 left\n"


def test_a_bar_can_be_asked_for_where_there_is_no_terminal():
    assert shown("on", False, STEPS) == shown("auto", True, STEPS)


@pytest.mark.parametrize("terminal", [True, False])
def test_it_can_be_off(terminal):
    assert shown("off", terminal, STEPS) == ""


@pytest.mark.parametrize(("mode", "terminal"), [("auto", False), ("off", False), ("off", True)])
def test_there_are_no_lines_among_those_of_rejects(mode, terminal):
    assert shown(mode, terminal, STEPS, lines=False) == ""


@pytest.mark.parametrize(("mode", "terminal"), [("auto", True), ("on", True), ("on", False)])
def test_there_is_a_bar_beside_rejects_all_the_same(mode, terminal):
    assert shown(mode, terminal, STEPS, lines=False) == shown("auto", True, STEPS)


def test_an_unknown_size_has_no_end_in_sight():
    assert shown("auto", True, [(10.0, 100, None)]) == "\r100 rows · 10 rows/s\n"


def test_a_bar_is_drawn_ten_times_a_second_at_most():
    assert shown("auto", True, [(0.01, 1, 0.1)] * 95).count("\r") == 9


def test_a_shorter_text_covers_a_longer_one():
    text = shown("auto", True, [(4000.0, 10, 0.5), (4000.0, 10, 1.0)])
    first, second = text.strip("\r\n").split("\r")
    assert "1:06:40 left" in first
    assert len(second) == len(first)
