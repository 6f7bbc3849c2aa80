"""The endurance run in small: a kill and a SIGTERM under load cost nobody an answer."""

from __future__ import annotations

import asyncio
import json
from collections import Counter

import pytest
from benchmarks.endurance import Question, Report, endure, is_right, outcome_of, questions

QUESTION = Question(b"{}", [1.5])


def test_under_load_a_kill_and_a_sigterm_lose_nothing_and_change_no_answer(breast_cancer, show):
    report = asyncio.run(endure(breast_cancer, seconds=6, workers=2, connections=8))
    assert report.is_good, report.lines()
    assert report.counts["right"] > 100
    assert report.counts["ended with the killed worker"] <= 8
    show("; ".join(line.strip() for line in report.lines()))


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ({"id": "n1", "predictions": [1.5]}, True),
        ({"id": "n1", "predictions": [1.5 + 1e-12]}, True),
        ({"id": "n2", "predictions": [1.5]}, False),
        ({"id": "n1", "predictions": [1.5001]}, False),
    ],
)
def test_an_answer_is_right_only_where_it_is_this_questions(answer, right):
    assert is_right(json.dumps(answer).encode(), "n1", QUESTION) is right


@pytest.mark.parametrize(
    ("head", "outcome"),
    [
        (b"http/1.1 200 ok", "right"),
        (b"http/1.1 503 service unavailable", "turned away with 503"),
        (b"http/1.1 500 internal server error", "wrong"),
        (b"http/1.1 422 unprocessable", "wrong"),
    ],
)
def test_any_other_answer_is_wrong_but_for_being_turned_away(head, outcome):
    assert outcome_of(head, b'{"id": "n1", "predictions": [1.5]}', "n1", QUESTION) == outcome


@pytest.mark.parametrize(
    ("counts", "code", "good"),
    [
        ({"right": 5}, 0, True),
        ({"right": 5, "ended with the killed worker": 3}, 0, True),
        ({"right": 5, "wrong": 1}, 0, False),
        ({"right": 5, "lost": 1}, 0, False),
        ({"right": 5}, 1, False),
        ({}, 0, False),
    ],
)
def test_a_run_is_good_only_without_wrong_or_lost_ones(counts, code, good):
    assert Report(1.0, Counter(counts), code, 0.0, []).is_good is good


def test_the_questions_are_the_packed_examples(breast_cancer):
    asked = questions(breast_cancer)
    assert len(asked) > 3
    assert all(len(question.predictions) == 1 for question in asked)
