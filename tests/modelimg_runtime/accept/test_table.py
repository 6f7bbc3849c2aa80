from __future__ import annotations

from collections import Counter, defaultdict

import pandas as pd

import lanes
from modelimg_runtime.accept import InputTest, rules_of
from modelimg_runtime.accept.table import FEW_ROWS


def test_every_compiled_check_agrees_with_pandera_on_every_edge_value(questions, show):
    answers = lanes.Answers()
    wrong = [question for question in questions if answers.wrong(question)]
    assert not wrong, "\n".join(map(str, wrong[:20]))
    verdicts = Counter((question.how, question.accepted) for question in questions)
    left = sum(question.accepted and not answers(question) for question in questions)
    show(f"{len(questions)} questions, {dict(verdicts)}; accepted by pandera and left to it on purpose: {left}")
    assert min(verdicts.values()) > 50
    assert left < len(questions) / 50


def test_what_is_accepted_has_the_values_of_the_frame(questions, show):
    answers = lanes.Answers()
    accepted = defaultdict(list)
    for question in questions:
        if question.how == "row" and [*question.payload] == ["x"] and question.accepted and answers(question):
            accepted[id(question.document)].append(question)
    compared = 0
    for found in accepted.values():
        document, values = found[0].document, [question.payload["x"] for question in found]
        test, frame = InputTest(rules_of(document)), lanes.frame_of(lanes.loaded(document), {"x": values})
        many = -(-(FEW_ROWS + 1) // len(values))
        assert lanes.same_values(
            test.columns({"x": values * many}), pd.concat([frame] * many, ignore_index=True), document
        )
        for start, value in enumerate(values):
            batches = [test.row({"x": value}), test.columns({"x": [value]})]
            assert all(lanes.same_values(batch, frame.iloc[start : start + 1], document) for batch in batches), value
            compared += 1
    show(f"values of {compared} accepted cells are the frame's, of {len(accepted)} schemas")
    assert compared > 4000
