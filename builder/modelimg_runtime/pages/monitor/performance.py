"""How good the answers were: metrics of the labelled rows beside the packed ones, and classes by classes."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from modelimg_runtime.monitor.baseline import Baseline
from modelimg_runtime.monitor.performance import ERRORS, scheme_of
from modelimg_runtime.monitor.report import BLIND, Metric, MonitorReport
from modelimg_runtime.pages.frame import command_line, copyable, section
from modelimg_runtime.pages.html import Html, Node, element
from modelimg_runtime.pages.monitor.charts import between, whiskers
from modelimg_runtime.pages.monitor.headline import judged
from modelimg_runtime.pages.monitor.parts import Cell, table
from modelimg_runtime.pages.monitor.words import count, counted, percent, shown
from modelimg_runtime.profile.output import Estimate
from modelimg_runtime.protocols.bodies import JSON

_MOST_CLASSES: Final = 40
_OTHER: Final = "<other>"


def performance(report: MonitorReport, baseline: Baseline, base: str) -> Html:
    """The section.

    Args:
        report: on the window that was asked for.
        baseline: of the model.
        base: address by which the reader came here, for the command line.
    """
    if scheme_of(baseline) is None:
        words = "Of this model's answers, no label can say whether they are right."
        return section("performance", "How good the answers were", element("p", words))
    content: list[Node] = [
        element("p", f"{counted(report.labels, 'label')} came for the rows of this window."),
        element("div", _charts(report), class_="cards") if report.metrics or report.estimated_accuracy else None,
        _table(report.metrics, baseline.output.split) if report.metrics else None,
        _by_class(report.performance) if report.labels else None,
        _feedback(report.counts.feedback) if any(report.counts.feedback.values()) else None,
        _how(base, baseline, came=bool(report.labels)),
    ]
    return section("performance", "How good the answers were", *content)


def _charts(report: MonitorReport) -> list[Html]:
    charts = [
        _card(
            f"metric-{i}",
            metric.name,
            whiskers(f"metric-{i}-chart", metric.name, metric.live, metric.packed, _most(metric.name)),
            None,
        )
        for i, metric in enumerate(report.metrics)
    ]
    if report.estimated_accuracy is not None:
        expected = report.expected_accuracy
        packed = None if expected is None else Estimate(expected, expected, expected)
        name = "accuracy, estimated without labels"
        chart = whiskers(
            "estimate-chart", f"{name}: packed is what was expected", report.estimated_accuracy, packed, 1.0
        )
        charts.append(_card("estimate", name, chart, BLIND))
    return charts


def _most(name: str) -> float:
    return math.inf if name in ERRORS else 1.0


def _card(key: str, name: str, chart: Html, words: str | None) -> Html:
    hint = element("p", words, class_="hint") if words else None
    heading = element("h3", name, id=f"{key}-heading")
    return element("article", heading, chart, hint, class_="card close", aria_labelledby=f"{key}-heading")


def _table(metrics: Sequence[Metric], split: str) -> Html:
    rows: list[list[Cell | Node]] = [
        [
            metric.name,
            between(metric.live),
            between(metric.packed) if metric.packed else "not known",
            "lower" if metric.name in ERRORS else "higher",
            judged(metric.worse) if metric.packed else "",
        ]
        for metric in metrics
    ]
    heads = ("Metric", "Live", f"Packed, {split} split", "Better is", "Verdict")
    return table("Metrics of the labelled rows with their 95 % intervals", heads, rows)


# ---- classes -------------------------------------------------------------------------------------------------------


def _by_class(performance: Mapping[str, Any]) -> Node:
    if "confusion" in performance:
        return _confusion(performance["classes"], performance["confusion"])
    if "said" in performance:
        return _margins(performance)
    return None


def _confusion(classes: Sequence[str], matrix: Sequence[Sequence[int]]) -> list[Node]:
    """Rows are true, columns predicted; a class that is neither is left out where it is the one for all others."""
    keep = [i for i, name in enumerate(classes) if name != _OTHER or any(matrix[i]) or any(row[i] for row in matrix)]
    names = [shown(classes[i]) for i in keep]
    rows: list[list[Cell | Node]] = [
        [element("bdi", shown(classes[i])), *(_cell(matrix[i][j], sum(matrix[i]), i == j) for j in keep)] for i in keep
    ]
    caption = "Confusion matrix of the labelled rows: true class by predicted class, with shares of the true class"
    return [
        element("h3", "Which class was taken for which"),
        table(caption, ("true ↓ predicted →", *names), rows, class_="matrix"),
    ]


def _cell(rows: int, of: int, right: bool) -> Cell:
    share = rows / of if of else 0.0
    heat = min(4, int(5 * share)) if rows else 0
    beside = element("small", percent(share), class_="muted") if rows else None
    return Cell(
        [element("strong" if right else "span", count(rows)), " ", beside],
        f"number heat{heat}{' right' if right else ''}",
    )


def _margins(performance: Mapping[str, Any]) -> Node:
    """Of many classes, how often each was true, was said and was right; the most frequent ones."""
    found = sorted(
        zip(performance["classes"], performance["true"], performance["said"], performance["right"], strict=True),
        key=lambda each: -each[1],
    )
    rows: list[list[Cell | Node]] = [
        [
            element("bdi", shown(name)),
            *(Cell(count(each), "number") for each in (true, said, right)),
            Cell(percent(right / true) if true else "–", "number"),
        ]
        for name, true, said, right in found[:_MOST_CLASSES]
        if true or said
    ]
    more = len(found) - _MOST_CLASSES
    return [
        element("h3", "Which classes were right"),
        table("The labelled rows by class", ("Class", "True", "Predicted", "Right", "Recall"), rows, class_="tall"),
        element("p", f"and {more} rarer classes", class_="hint") if more > 0 else None,
    ]


# ---- labels --------------------------------------------------------------------------------------------------------


def _feedback(outcomes: Mapping[str, int]) -> Html:
    listed = ", ".join(f"{count(rows)} {outcome}" for outcome, rows in outcomes.items())
    return element("p", f"What came to /feedback in this window: {listed}.", class_="muted")


def _how(base: str, baseline: Baseline, *, came: bool) -> Html:
    """How labels are sent, which is said to everybody as long as none came."""
    label: Any = 1.5
    if baseline.task == "classification":
        categories = getattr(baseline.output.predictions[0].bins, "categories", ())
        label = shown(categories[0]) if categories else "…"
    if len(baseline.output.predictions) > 1:
        label = [label] * len(baseline.output.predictions)
    body = json.dumps({"prediction_id": "id of the answer", "row": 0, "label": label}, ensure_ascii=False)
    words = (
        "No label came for the rows of this window, so nobody knows whether the answers were right. Once it is known "
        "what would have been right, send it with the id that the answer had:"
    )
    command = copyable(command_line(base, "/feedback", JSON, body), "the command that sends a label")
    if came:
        return element("details", element("summary", "How labels are sent"), command)
    return element("div", element("p", words), command)
