from __future__ import annotations

import json

import pytest

from modelimg_runtime.errors import InputRejected, OutputRejected, PayloadError, StartRefused, Violation
from modelimg_runtime.problems import INTERNAL, MOST_ERRORS, problem_of


def document(error):
    return json.loads(problem_of(error).body("id-1"))


def test_rejected_input_is_422_with_each_failing_cell():
    assert document(InputRejected([Violation(3, "age", "in_range(0, 120)", -1)])) == {
        "type": "urn:modelimg:problem:input-rejected",
        "title": "Input breaks the contract",
        "status": 422,
        "detail": "the input breaks the contract in 1 place",
        "id": "id-1",
        "errors": [{"row": 3, "column": "age", "check": "in_range(0, 120)", "value": -1}],
    }


def test_rejected_output_is_500_without_the_values_that_must_not_be_served():
    body = problem_of(OutputRejected([Violation(0, "prediction", "le(1)", 1234567)])).body("id-1")
    assert json.loads(body)["status"] == 500
    assert b"1234567" not in body


@pytest.mark.parametrize("status", [400, 413, 415])
def test_a_payload_error_keeps_its_status(status):
    assert document(PayloadError("no", status))["status"] == status
    assert document(PayloadError("no", status))["detail"] == "no"


@pytest.mark.parametrize(
    "error", [ValueError("secret"), KeyError("secret"), StartRefused("secret"), MemoryError("secret")]
)
def test_anything_unforeseen_is_an_internal_error_that_says_nothing(error):
    assert problem_of(error) is INTERNAL
    assert b"secret" not in INTERNAL.body("id-1")


@pytest.mark.parametrize(("count", "listed", "cut"), [(1, 1, None), (MOST_ERRORS, MOST_ERRORS, None), (1005, 1000, 5)])
def test_the_list_of_errors_is_bounded_and_says_how_many_are_missing(count, listed, cut):
    made = document(InputRejected([Violation(row, "a", "c", None) for row in range(count)]))
    assert len(made["errors"]) == listed
    assert made.get("errors_truncated") == cut


def test_a_document_is_ascii_whatever_the_caller_sent():
    body = problem_of(InputRejected([Violation(0, "naïve \ud800", "c", "\udfff")])).body("id-1")
    assert body.isascii()
    assert json.loads(body)["errors"][0]["column"] == "naïve \ud800"
