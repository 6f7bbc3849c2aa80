"""What is asked of the page: any name comes back from its link, and no query is a crash."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelimg_runtime.pages.monitor.question import Question

NAMES = st.text(st.characters(exclude_categories=["Cs"]))


@given(NAMES, NAMES, st.sampled_from(["total", "24h", "2026-01-01T00:00+02:00/2026-01-02T00:00Z"]))
def test_a_link_asks_for_what_it_names(feature, answer, window):
    asked = Question.of({"window": window})
    parts = urlsplit(asked.href(feature=feature, answer=answer))
    query = {name: values[-1] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
    assert (parts.scheme, parts.netloc, parts.path, parts.fragment) == ("", "", "/monitor", "")
    again = Question.of(query)
    assert (again.feature, again.answer, again.span) == (feature, answer, asked.span)


@given(st.dictionaries(st.sampled_from(["window", "from", "to", "feature", "answer"]), st.text(st.characters())))
def test_any_query_is_a_window_or_said_to_be_none(query):
    asked = Question.of(query)
    assert asked.wrong is None or asked.wrong.startswith("a window is total")
    assert asked.href(feature=query.get("feature", "")).isascii()


@pytest.mark.parametrize(
    ("query", "window"),
    [
        ({"from": "2026-01-01T00:00", "to": "2026-01-02T00:00"}, "2026-01-01T00:00Z/2026-01-02T00:00Z"),
        ({"from": "2026-01-01T00:00Z", "to": "2026-01-02T00:00-05:00"}, "2026-01-01T00:00Z/2026-01-02T00:00-05:00"),
        ({"from": "", "to": "", "window": "24h"}, "24h"),
        ({}, "total"),
    ],
)
def test_the_form_is_in_utc_unless_it_says_otherwise(query, window):
    asked = Question.of(query)
    assert (asked.window, asked.wrong) == (window, None)


@pytest.mark.parametrize(
    "query",
    [
        {"from": "2026-01-01"},
        {"from": "now", "to": "then"},
        {"to": "2026-01-01T00:00"},
        {"window": "1w"},
        {"window": ""},
    ],
)
def test_half_a_window_is_none(query):
    assert Question.of(query).wrong is not None


def test_the_form_keeps_what_was_typed_and_shows_what_was_linked():
    assert Question.of({"from": "x", "to": "y"}).typed == ("x", "y")
    linked = Question.of({"window": "2026-01-01T01:00+01:00/2026-01-02T00:00Z"})
    assert linked.typed == ("2026-01-01T00:00", "2026-01-02T00:00")
    assert Question.of({"window": "24h"}).typed == ("", "")
