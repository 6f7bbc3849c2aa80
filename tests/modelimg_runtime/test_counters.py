from __future__ import annotations

import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from modelimg_runtime.counters import BUCKETS, OTHER, Counters, exposition, make_board, retire
from modelimg_runtime.errors import InputRejected, OutputRejected, Violation


def samples(board, info=None, accept="", read=read_text):
    text, _ = exposition(board, info, accept)
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in read(text.decode())
        for sample in family.samples
    }


def value(found, name, **labels):
    return found[(name, *sorted(labels.items()))]


def answer(counters, route="/predict", status=200, seconds=0.001):
    counters.began()
    counters.ended(route, status, seconds)


def test_all_names_are_those_of_the_notes():
    board = make_board()
    counters = Counters(board)
    answer(counters)
    counters.rows("predicted", 3)
    counters.rejected(InputRejected([Violation(0, "age", "ge(0)", -1)]), ["age"])
    found = samples(board, {"model": "demo", "version": "1"})
    assert value(found, "modelimg_info", model="demo", version="1") == 1
    assert value(found, "modelimg_requests_total", route="/predict", code="200") == 1
    assert value(found, "modelimg_request_duration_seconds_count", route="/predict") == 1
    assert value(found, "modelimg_rows_total", outcome="predicted") == 3
    failures = {"direction": "input", "column": "age", "check": "ge(0)"}
    assert value(found, "modelimg_validation_failures_total", **failures) == 1
    assert value(found, "modelimg_requests_in_flight") == 0
    assert value(found, "modelimg_uncounted_total") == 0
    assert value(found, "process_resident_memory_bytes") > 1_000_000


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["/a", "/b"]), st.sampled_from([200, 422]), st.floats(0, 20))))
def test_a_histogram_is_the_sum_over_processes_and_cumulative(requests):
    board = make_board(2)
    both = [Counters(board, number) for number in range(2)]
    for number, (route, status, seconds) in enumerate(requests):
        answer(both[number % 2], route, status, seconds)
    found = samples(board)
    for route in {route for route, _, _ in requests}:
        times = [seconds for each, _, seconds in requests if each == route]
        for bound in BUCKETS:
            counted = value(found, "modelimg_request_duration_seconds_bucket", route=route, le=str(bound))
            assert counted == sum(seconds <= bound for seconds in times)
        assert value(found, "modelimg_request_duration_seconds_bucket", route=route, le="+Inf") == len(times)
        assert value(found, "modelimg_request_duration_seconds_sum", route=route) == pytest.approx(sum(times))
    expected = Counter((route, str(status)) for route, status, _ in requests)
    for (route, code), count in expected.items():
        assert value(found, "modelimg_requests_total", route=route, code=code) == count


@pytest.mark.parametrize(
    ("accept", "kind", "read"),
    [
        ("", "text/plain; version=", read_text),
        ("*/*", "text/plain; version=", read_text),
        ("nonsense;;q=", "text/plain; version=", read_text),
        (
            "application/openmetrics-text; version=1.0.0",
            "application/openmetrics-text; version=1.0.0",
            read_openmetrics,
        ),
        ("text/html, application/openmetrics-text", "application/openmetrics-text", read_openmetrics),
    ],
)
def test_the_scraper_chooses_the_format(accept, kind, read):
    board = make_board()
    answer(Counters(board))
    assert exposition(board, None, accept)[1].startswith(kind)
    assert value(samples(board, None, accept, read), "modelimg_requests_total", route="/predict", code="200") == 1


def test_names_of_columns_that_a_caller_made_up_are_no_labels():
    board = make_board()
    counters = Counters(board)
    made_up = [Violation(None, f"x{number}", "column_in_schema", None) for number in range(300)]
    counters.rejected(InputRejected([*made_up, Violation(0, None, "rows", None)]), ["age"])
    failures = {key: count for key, count in board.totals().items() if key[0] == "failures"}
    assert failures == {("failures", "input", "", "column_in_schema"): 300, ("failures", "input", "", "rows"): 1}


def test_more_checks_than_a_contract_can_have_become_other_and_counts_of_rows_are_cut_off():
    board = make_board()
    counters = Counters(board)
    counters.rejected(OutputRejected([Violation(None, None, f"{number} rows", 0) for number in range(50)]), ["a"])
    counters.rejected(InputRejected([Violation(0, "a", f"check {number}", 0) for number in range(2000)]), ["a"])
    failures = {key[1:]: count for key, count in board.totals().items() if key[0] == "failures"}
    assert failures["output", "", "rows"] == 50
    assert len(failures) == 501
    assert failures["input", "a", OTHER] == 2000 - 499
    assert board.lost == 0


def test_violations_that_are_not_named_are_counted_too():
    board = make_board()
    named = [Violation(number, "a", "ge(0)", -1) for number in range(3)]
    Counters(board).rejected(InputRejected(named, {("a", "ge(0)"): 40, (None, "rows"): 2}), ["a"])
    totals = board.totals()
    assert totals["failures", "input", "a", "ge(0)"] == 43
    assert totals["failures", "input", "", "rows"] == 2


def test_columns_of_an_answer_are_the_packages_and_stand_in_labels():
    board = make_board()
    Counters(board).rejected(OutputRejected([Violation(0, "prediction", "le(1)", None)]), ["age"])
    assert board.totals()["failures", "output", "prediction", "le(1)"] == 1


def test_a_successor_starts_with_no_request_in_flight_and_goes_on_counting():
    board = make_board()
    first = Counters(board)
    answer(first)
    first.began()
    assert value(samples(board), "modelimg_requests_in_flight") == 1
    answer(Counters(board))
    found = samples(board)
    assert value(found, "modelimg_requests_in_flight") == 0
    assert value(found, "modelimg_requests_total", route="/predict", code="200") == 2
    assert value(found, "modelimg_process_starts_total") == 2


def test_of_several_processes_each_shows_its_own_memory_and_the_retired_none():
    board = make_board(3)
    for slot in range(3):
        Counters(board, slot)
    retire(board, 2)
    workers = {key[1] for key in samples(board) if key[0] == "process_resident_memory_bytes"}
    assert workers == {("worker", "0"), ("worker", "1")}


def test_counting_imports_no_prometheus_client():
    script = (
        "import sys; from modelimg_runtime.counters import Counters, make_board\n"
        "c = Counters(make_board()); c.began(); c.ended('/predict', 200, 0.1)\n"
        "print('prometheus_client' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
