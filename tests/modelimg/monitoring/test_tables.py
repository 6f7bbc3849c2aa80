"""What people read of a sum: the headline, what drifted first, and what an estimate cannot see."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from modelimg.monitoring.merge import summary
from modelimg.monitoring.tables import headline, print_report, print_summary
from modelimg_runtime.monitor import report
from modelimg_runtime.monitor.report import BLIND, Metric
from modelimg_runtime.profile.output import Estimate


def printed(document, found=None) -> str:
    out = io.StringIO()
    console = Console(file=out, width=120)
    if found is None:
        print_summary(summary(document, None), console)
    else:
        print_report(summary(document, None), found, console)
    return out.getvalue()


def test_drifted_columns_stand_first_and_most_calm_ones_are_only_counted(make) -> None:
    baseline = make.baseline(*(make.numbers(f"column {number:02}") for number in range(20)))
    document = make.document(baseline, shift="column 13")
    text = printed(document, report(document, baseline))
    assert "1 of 20 columns drifted (5%); the answers did not" in text
    assert text.index("column 13") < text.index("column 00") < text.index("column 04") < text.index("and 14 more")
    assert "column 05" not in text


@pytest.mark.parametrize("rows", [0, 1])
@pytest.mark.parametrize("task", ["classification", "regression", "other"])
def test_any_model_and_any_number_of_rows_can_be_told_of(make, rows: int, task: str) -> None:
    baseline = make.baseline(task=task, outputs=2)
    document = make.document(baseline, rows=rows)
    found = report(document, baseline)
    assert headline(found) in printed(document, found)
    assert ("insufficient data" in headline(found)) == (rows == 0)
    assert "nan" not in printed(document, found)
    assert f"{1000 * rows:,}" in printed(document)


def test_answers_that_drifted_are_in_the_headline(make) -> None:
    baseline = make.baseline()
    found = report(make.document(baseline, shift="prediction"), baseline)
    assert headline(found) == "none of 2 columns drifted (0%); the answers drifted: prediction"


def test_names_are_no_markup(make) -> None:
    baseline = make.baseline(make.numbers("[bold red]x[/]"), name="[link=evil]m")
    document = make.document(baseline)
    text = printed(document, report(document, baseline))
    assert "[bold red]x[/]" in text
    assert "[link=evil]m" in text


def test_beside_an_estimate_stands_what_it_cannot_see(make) -> None:
    baseline = make.baseline()
    document = make.document(baseline)
    metric = Metric("accuracy", Estimate(0.5, 0.4, 0.6), Estimate(0.9, 0.85, 0.95), worse=True)
    estimated = {"estimated_accuracy": Estimate(0.81, 0.75, 0.86), "expected_accuracy": 0.9, "metrics": (metric,)}
    found = replace(report(document, baseline), **estimated)
    text = " ".join(printed(document, found).split())
    assert "accuracy, estimated: 0.81 (0.75 to 0.86); at packing 0.9" in text
    assert BLIND in text
    assert "accuracy 0.5 (0.4 to 0.6) 0.9 (0.85 to 0.95) worse" in text
    assert BLIND not in " ".join(printed(document, report(document, baseline)).split())
