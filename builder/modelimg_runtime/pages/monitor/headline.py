"""What somebody sees who only walks past: the verdict, what it is of, and how sure one may be."""

from __future__ import annotations

from dataclasses import dataclass

from modelimg_runtime.drift.report import CALM, DRIFT, INSUFFICIENT, DriftReport
from modelimg_runtime.monitor.baseline import Baseline
from modelimg_runtime.monitor.report import BLIND, MonitorReport
from modelimg_runtime.pages.html import Html, Node, element
from modelimg_runtime.pages.monitor.charts import squares
from modelimg_runtime.pages.monitor.parts import kind_of, verdict
from modelimg_runtime.pages.monitor.question import Question
from modelimg_runtime.pages.monitor.words import counted, moment, named, number, percent
from modelimg_runtime.profile.output import Estimate

_MOST_NAMED = 3


@dataclass(frozen=True)
class Verdict:
    """The whole in words.

    Attributes:
        tone: ``bad``, ``good`` or ``unknown``.
        title: a few words.
        words: a sentence.
    """

    tone: str
    title: str
    words: str


def verdict_of(report: MonitorReport) -> Verdict:
    """The worst that is to be said, in words."""
    rows, least = report.counts.rows, report.inputs.thresholds.rows
    worse = [metric.name for metric in report.metrics if metric.worse]
    also = f" By the labels that came, {' and '.join(worse)} got worse." if worse else ""
    if not rows:
        never = "Nothing was asked of the model yet." if report.span is None else "Nothing was counted in this window."
        return Verdict("bad" if worse else "unknown", "No rows yet" if report.span is None else "No rows", never + also)
    if report.inputs.status == DRIFT:
        return Verdict("bad", _drifted(report.inputs), f"What comes in is not what the model was trained on.{also}")
    if report.outputs.status == DRIFT:
        return Verdict(
            "bad", "The predictions drifted", f"What comes in looks as in training; what the model says does not.{also}"
        )
    if worse:
        return Verdict("bad", "The model got worse", f"No column drifted.{also}")
    if report.inputs.status == INSUFFICIENT:
        return Verdict(
            "unknown", "Too few rows to tell", f"Insufficient data: {counted(rows, 'row')} of at least {least}."
        )
    calm = "Everything looks as it did in training"
    told = "." if report.outputs.status == CALM else "; of the predictions, too little is known."
    return Verdict("good", "Calm", calm + told)


def headline(report: MonitorReport, baseline: Baseline, question: Question, written: float) -> Html:
    """The panel at the top.

    Args:
        report: on the window that was asked for.
        baseline: of the model.
        question: that was asked.
        written: when the counts were read, in seconds since 1970.
    """
    found = verdict_of(report)
    return element(
        "section",
        element(
            "div",
            element(
                "div",
                element("h2", found.title, id="verdict-heading"),
                element("p", found.words),
                _counted(report, question),
            ),
            _wall(report.inputs),
            class_="top-row",
        ),
        element("dl", _tiles(report, baseline), class_="tiles"),
        element("p", "Counts as of ", moment(written), ".", class_="hint"),
        class_=f"hero {found.tone}",
        id="verdict",
        aria_labelledby="verdict-heading",
    )


def _counted(report: MonitorReport, question: Question) -> Html:
    counts = report.counts
    times: Node = None
    if counts.first is not None and counts.last is not None:
        times = ["; the first at ", moment(counts.first), ", the last at ", moment(counts.last)]
    replicas = counted(report.replicas, "replica")
    return element(
        "p",
        element("strong", counted(counts.rows, "row")),
        " ",
        question.words,
        f", of {replicas}",
        times,
        ".",
        class_="muted",
    )


def _wall(inputs: DriftReport) -> Html:
    """A square for each column."""
    kinds = [kind_of(column.status) for column in inputs.columns]
    words = f"{kinds.count('full')} drifted, {kinds.count('hollow')} calm, {kinds.count('dot')} with too few rows."
    chart = squares("wall", f"{counted(len(kinds), 'input column')}, one square each", words, kinds)
    key = element("p", "Full: drifted. Hollow: calm. Dot: too few rows.", class_="hint", aria_hidden="true")
    return element("div", chart, key, class_="wall")


def _drifted(inputs: DriftReport) -> str:
    known = sum(column.status != INSUFFICIENT for column in inputs.columns)
    drifted = len(inputs.drifted)
    return f"{drifted} of {counted(known, 'column')} drifted"


# ---- tiles ---------------------------------------------------------------------------------------------------------


def _tiles(report: MonitorReport, baseline: Baseline) -> list[Html]:
    inputs, outputs = report.inputs, report.outputs
    tiles = [
        _tile("Inputs", verdict(inputs.status), _share(inputs), _names(inputs)),
        _tile("Predictions", verdict(outputs.status), _names(outputs)),
    ]
    if baseline.output.confidence is not None:
        tiles.append(_tile("Accuracy, estimated without labels", *_estimated(report, baseline)))
    tiles.append(_tile("By the labels that came", *_measured(report)))
    return tiles


def _tile(name: str, *content: Node) -> Html:
    return element("div", element("dt", name), [element("dd", each) for each in content if each is not None])


def _share(inputs: DriftReport) -> Node:
    if inputs.share is None:
        return None
    return [element("b", percent(inputs.share)), f" of the columns: {_drifted(inputs)}"]


def _names(report: DriftReport) -> Node:
    names = report.drifted
    if not names:
        return None
    listed: list[Node] = [[", " if position else "", named(name)] for position, name in enumerate(names[:_MOST_NAMED])]
    more = len(names) - _MOST_NAMED
    return element("span", listed, f" and {more} more" if more > 0 else "", class_="muted")


def _estimated(report: MonitorReport, baseline: Baseline) -> list[Node]:
    expected = report.expected_accuracy
    beside = f"expected from the {baseline.output.split} split: {percent(expected)}" if expected is not None else None
    if report.estimated_accuracy is None:
        why = "no calibration was packed" if baseline.output.calibration is None else INSUFFICIENT
        return [element("span", f"· {why}", class_="said muted"), beside]
    return [
        [element("b", percent(report.estimated_accuracy.value)), " ", _interval(report.estimated_accuracy)],
        beside,
        element("span", BLIND, class_="hint"),
    ]


def _interval(found: Estimate) -> Html:
    return element("span", f"{percent(found.low)} to {percent(found.high)}", class_="muted")


def _measured(report: MonitorReport) -> list[Node]:
    if not report.metrics:
        none = "· no labels yet" if not report.labels else f"· {counted(report.labels, 'label')}, too few to tell"
        how = element("a", "How to send them", href="#performance")
        return [element("span", none, class_="said muted"), how]
    metric = report.metrics[0]
    packed = f"at packing: {number(metric.packed.value)}" if metric.packed else "not known at packing"
    return [
        [metric.name, " ", element("b", number(metric.live.value)), " ", _span(metric.live)],
        judged(metric.worse),
        f"{packed}; of {counted(report.labels, 'label')}",
    ]


def _span(found: Estimate) -> Html:
    return element("span", f"{number(found.low)} to {number(found.high)}", class_="muted")


def judged(worse: bool) -> Html:
    """Whether a metric got worse, with a mark of its own shape."""
    mark, words, tone = ("▲", "worse than at packing", "bad") if worse else ("○", "no worse than at packing", "good")
    return element("span", element("span", mark, aria_hidden="true", class_="mark"), f" {words}", class_=f"said {tone}")
