"""Numbers, times and names as the page says them: hostile names stay text of their own."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelimg_runtime.pages.html import text
from modelimg_runtime.pages.monitor.words import LONGEST, edge, length, moment, named, number, percent, shown

NO_BREAK = "\u00a0"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("mean radius", "mean radius"),
        ("שלום", "שלום"),
        ("🐧", "🐧"),
        ("\u202egnp.exe", "\ufffdgnp.exe"),
        ("a\u2066b\u2069c", "a\ufffdb\ufffdc"),
        ("a\nb\x00c\x1b[31m", "a\ufffdb\ufffdc\ufffd[31m"),
        ("\ud800", "\ufffd"),
        ("\uffff\ufffe", "\ufffd\ufffd"),
        ("", "“”"),
        ("  ", "“  ”"),
    ],
)
def test_a_name_is_shown_as_it_is_but_for_what_is_no_text(name, said):
    assert shown(name) == said


def test_of_a_long_name_both_ends_are_shown():
    assert shown("a" * 500 + "b" * 500) == "a" * 29 + "…" + "b" * 29


@given(st.text(st.characters()))
def test_no_name_is_long_or_turns_its_surroundings_or_is_markup(name):
    said = shown(name)
    assert said.strip()
    assert len(said) <= LONGEST + 2
    assert not {unicodedata.bidirectional(char) for char in said} & {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI"}
    assert text(named(name)).count("<") == 2
    said.encode()


@pytest.mark.parametrize(
    ("share", "said"),
    [
        (0.0, "0 %"),
        (0.0004, "<0.1 %"),
        (0.001, "0.1 %"),
        (0.0994, "9.9 %"),
        (0.0999, "10 %"),
        (0.5, "50 %"),
        (0.99, "99 %"),
        (0.9951, "99.5 %"),
        (0.9999, ">99.9 %"),
        (1.0, "100 %"),
    ],
)
def test_what_is_not_quite_nothing_or_all_is_not_said_to_be(share, said):
    assert percent(share) == said.replace(" ", NO_BREAK)


@pytest.mark.parametrize(
    ("value", "said"),
    [(0.0, "0"), (0.12345, "0.123"), (1234.5, "1,234"), (-98765, "-98,765"), (1e300, "1e+300"), (1e-9, "1e-09")],
)
def test_numbers_are_short(value, said):
    assert number(value) == said


@pytest.mark.parametrize(
    ("kind", "value", "said"),
    [
        ("number", 12.345, "12.35"),
        ("datetime", 86_400.0, "1970-01-02"),
        ("datetime", 90_000.5, "1970-01-02 01:00"),
        ("datetime", 1e18, "1e+18"),
        ("datetime", -1e18, "-1e+18"),
        ("duration", 7200.0, "2 h"),
        ("duration", -5.0, "-5"),
        ("duration", 1.5, "1.5 s"),
    ],
)
def test_an_edge_is_written_as_its_kind(kind, value, said):
    assert edge(kind, value) == said.replace(" h", NO_BREAK + "h").replace(" s", NO_BREAK + "s")


def test_times_say_their_zone_and_lengths_their_unit():
    assert moment(0.0) == f'<time datetime="1970-01-01T00:00:00.000Z">1970-01-01 00:00{NO_BREAK}UTC</time>'
    assert [length(seconds) for seconds in (86_400, 3600, 5400, 61)] == [
        each.replace(" ", NO_BREAK) for each in ("1 d", "1 h", "90 min", "61 s")
    ]
