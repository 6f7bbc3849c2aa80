"""What ``Accept`` chooses."""

from __future__ import annotations

import pytest

from modelimg_runtime.protocols.bodies import CSV, JSON
from modelimg_runtime.protocols.negotiation import answer_kind
from modelimg_runtime.protocols.tables import ARROW, PARQUET, TABLES


@pytest.mark.parametrize(
    ("header", "kind"),
    [
        (None, JSON),
        ("", JSON),
        ("*/*", JSON),
        ("text/html, */*;q=0.8", JSON),
        ("application/json", JSON),
        ("text/csv", CSV),
        ("Text/CSV", CSV),
        ("text/csv;q=0.9, text/html", CSV),
        ("text/csv, application/json", JSON),
        ("text/csv, application/json;q=0.5", CSV),
        ("text/csv;q=0.4, application/json;q=0.5", JSON),
        ("text/csv;q=0", JSON),
        ("text/csv;q=zero", CSV),
        ("text/csv;q=1.2.3", CSV),
        ("text/*", JSON),
        (f"{ARROW}, */*;q=0.1", ARROW),
        (f"{PARQUET};q=0.9, {ARROW};q=0.8", PARQUET),
        (",;,;q=,", JSON),
        ("\u0664;q=\u0664", JSON),
    ],
)
def test_the_best_liked_media_type_is_chosen_and_json_where_none_is_named(header, kind):
    assert answer_kind(header, (CSV, *TABLES)) == kind
