from __future__ import annotations

import pytest

from modelimg_runtime.monitor import Span, span_of


@pytest.mark.parametrize(
    ("text", "bounds"),
    [
        ("90m", (1_000_000 - 5400, 1_000_001)),
        ("24h", (1_000_000 - 86_400, 1_000_001)),
        ("7d", (1_000_000 - 604_800, 1_000_001)),
        ("1970-01-01T00:00:00Z/1970-01-02T00:00:00+01:00", (0, 82_800)),
    ],
)
def test_spans_are_read(text, bounds):
    span = span_of(text)
    assert isinstance(span, Span)
    assert span.text == text
    assert span.bounds(1_000_000) == bounds


def test_the_total_is_no_span():
    assert span_of("total") is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "24",
        "h",
        "0h",
        "-1h",
        "1w",
        "1.5h",
        "1h ",
        "٣h",
        "1234567h",
        "all",
        "/",
        "2026-01-01T00:00Z",
        "2026-01-01T00:00Z/",
        "2026-01-01/2026-01-02",
        "2026-01-02T00:00Z/2026-01-01T00:00Z",
        "2026-01-01T00:00Z/2026-01-01T00:00Z",
        "2026-13-01T00:00Z/2027-01-01T00:00Z",
        "0001-01-01T00:00+23:00/2026-01-01T00:00Z/2027-01-01T00:00Z",
        "x" * 10_000,
    ],
)
def test_what_is_no_span_is_refused(text):
    with pytest.raises(ValueError, match="a window is total, as long as"):
        span_of(text)
