"""``/monitor`` as a browser gets it: what it says of no data, of calm and of drift, and whatever columns are called."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import unquote_plus, urlsplit
from xml.etree import ElementTree as ET

import httpx
import numpy as np
import pandas as pd
import pytest
from sklearn import datasets
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.tree import DecisionTreeClassifier

from modelimg_runtime import contract
from modelimg_runtime.app import create_app
from modelimg_runtime.environment import Settings
from modelimg_runtime.monitor.report import BLIND
from modelimg_runtime.pages.monitor import whole
from modelimg_runtime.pages.monitor.question import Question

BASE = "http://localhost:8080"
HOUR = 3600
START = 490_000 * HOUR + 100
VOID = {"br", "hr", "input", "link", "meta"}
INLINE = {"a", "b", "bdi", "code", "em", "small", "span", "strong", "time"}


class Page(HTMLParser):
    """Elements with their attributes and what text is in each; whether each was closed in order."""

    def __init__(self, source):
        super().__init__()
        self.source, self.elements, self.open, self.text = source, [], [], []
        self.parts: dict[str, list[str]] = {}
        self.feed(source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        assert len(attributes) == len(attrs)
        self.elements.append((tag, attributes))
        self._break(tag)
        if tag not in VOID:
            self.open.append((tag, attributes.get("id")))

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag
        self._break(tag)

    def _break(self, tag):
        if tag not in INLINE:
            self.handle_data(" ")

    def handle_data(self, data):
        if self.open and self.open[-1][0] not in ("style", "title", "desc"):
            self.text.append(data)
            for _, identifier in self.open:
                if identifier:
                    self.parts.setdefault(identifier, []).append(data)

    def all(self, tag, **wanted):
        found = [attributes for name, attributes in self.elements if name == tag]
        return [each for each in found if all(each.get(key.rstrip("_")) == value for key, value in wanted.items())]

    def words(self, identifier=None):
        return " ".join("".join(self.parts[identifier] if identifier else self.text).replace("\u00a0", " ").split())


def page_of(monitor, status=200, **query):
    answer = whole.watched(monitor, Question.of(query), BASE)
    assert answer.status_code == status
    check(answer.body.decode(), answer.headers["content-security-policy"])
    return Page(answer.body.decode())


def check(source, policy):
    """What must hold of every page: nothing runs, nothing loads, every link leads somewhere, every name is one's own."""
    page = Page(source)
    style = re.findall(r"<style>(.*?)</style>", source, re.DOTALL)
    assert len(style) == 1
    assert f"style-src 'sha256-{base64.b64encode(hashlib.sha256(style[0].encode()).digest()).decode()}'" in policy
    assert "script-src 'none'" in policy
    assert {tag for tag, _ in page.elements} & {"script", "img", "iframe", "object", "foreignobject", "image"} == set()
    identifiers = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(identifiers) == len(set(identifiers))
    for tag, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on") or name == "style"]
        assert urlsplit(attributes.get("href") or "").scheme in ("", "data")
        for name in ("aria-labelledby", "aria-describedby", "for"):
            assert attributes.get(name, identifiers[0]) in identifiers
        if tag == "a" and attributes["href"].startswith("#"):
            assert attributes["href"][1:] in identifiers
    for svg in re.findall(r"<svg.*?</svg>", source, re.DOTALL):
        ET.fromstring(svg)
    assert source.count("<h1") == 1
    assert len(page.all("caption")) == len(page.all("table"))


class Clock:
    def __init__(self):
        self.now = START

    def __call__(self):
        return self.now


def moved(model):
    frame = model.held.copy()
    frame["mean radius"] += 2 * frame["mean radius"].std()
    frame["worst area"] *= 3
    return frame


# ---- what it says --------------------------------------------------------------------------------------------------


def test_without_rows_it_says_so_and_how_labels_are_sent(cancer_model):
    page = page_of(cancer_model.served())
    assert "No rows yet" in page.words("verdict")
    assert "0 rows since the counters began, of 1 replica." in page.words("verdict")
    assert page.words("verdict").count("insufficient data") == 3
    assert "no labels yet" in page.words("verdict")
    assert f"curl {BASE}/feedback" in page.words("performance")
    assert "prediction_id" in page.words("performance")
    assert BLIND not in page.words()
    assert "trend" not in page.parts


def test_few_rows_are_insufficient_data(cancer_model):
    page = page_of(cancer_model.served(moved(cancer_model).iloc[:199]))
    assert "Too few rows to tell Insufficient data: 199 rows of at least 200." in page.words("verdict")
    assert "▲" not in page.words()


def test_held_back_rows_are_calm(cancer_model):
    page = page_of(cancer_model.served(cancer_model.held))
    assert "breast-cancer 1.2.3" in page.words()
    assert "Calm Everything looks as it did in training." in page.words("verdict")
    assert "▲" not in page.words()
    assert len(page.all("article")) == 12 + 4 + 1
    assert f"{len(cancer_model.held)} rows since the counters began" in page.words("verdict")
    assert BLIND in page.words("verdict")
    assert "expected from the test split: 97 %" in page.words("verdict")


def test_what_drifted_comes_first_with_its_reasons(cancer_model):
    monitor = cancer_model.served(moved(cancer_model))
    found = monitor.report().inputs
    page = page_of(monitor)
    assert set(found.drifted) == {"mean radius", "worst area"}
    assert "2 of 30 columns drifted" in page.words("verdict")
    assert "What comes in is not what the model was trained on." in page.words("verdict")
    table = page.words("drift")
    assert [table.index(column.name) for column in found.columns] == sorted(
        map(table.index, [c.name for c in found.columns])
    )
    for column in found.columns[:2]:
        assert f"{column.name} ▲ drift: " in table
    worst = found.columns[0]
    assert f"{worst.distribution.psi.value:.3g} limit {worst.distribution.psi.threshold:.3g}" in table
    assert len(page.all("path", class_="full")) == 1
    assert page.all("path", class_="full")[0]["d"].count("M") == 2


def test_missing_values_and_new_categories_are_named(penguins_model):
    frame = penguins_model.held.copy()
    frame.loc[frame.index[:120], "island"] = "Atlantis <b>"
    frame.loc[frame.index[200:400], "sex"] = None
    page = page_of(penguins_model.served(frame))
    assert "sex ▲ drift: missing values" in page.words("drift")
    assert re.search(r"island ▲ drift: new categories, distribution – ?0", page.words("drift")) is None
    assert "island ▲ drift: new categories" in page.words("drift")
    assert re.search(r"unseen 20 % 0 %", page.words())
    assert re.search(r"missing 3\d % [\d.]+ %", page.words())
    assert "Atlantis" not in page.words()  # what the profile does not name is not kept, and cannot be shown


def test_labels_are_shown_beside_what_was_packed(penguins_model):
    truth = ["Adelie" if number % 4 == 0 else label for number, label in enumerate(penguins_model.truth[:300])]
    monitor = penguins_model.served(penguins_model.held, labels=truth)
    found = monitor.report()
    page = page_of(monitor)
    assert found.metrics[0].worse
    assert "By the labels that came, accuracy and f1_macro got worse." in page.words("verdict")
    words = page.words("performance")
    assert "300 labels came" in words
    assert f"accuracy {found.metrics[0].live.value:.3g} ({found.metrics[0].live.low:.3g} to" in words
    assert "300 accepted, 0 unknown, 0 duplicate, 0 invalid" in words
    confusion = found.performance["confusion"]
    assert f"Adelie {confusion[0][0]} {100 * confusion[0][0] / sum(confusion[0]):.0f} %" in words
    assert "<other>" not in words


def test_a_model_that_got_worse_on_the_same_inputs_is_no_calm_one(cancer_model):
    flipped = [cancer_model.classes[label == cancer_model.classes[0]] for label in cancer_model.truth[:80]]
    page = page_of(cancer_model.served(cancer_model.held, labels=[*flipped, *cancer_model.truth[80:]]))
    assert "The model got worse No column drifted. By the labels that came, accuracy" in page.words("verdict")
    assert "worse than at packing" in page.words("verdict")


def test_a_regression_has_its_own_metrics_and_no_confidence(diabetes_model):
    labels = [float(each) for each in diabetes_model.truth]
    page = page_of(diabetes_model.served(diabetes_model.held, labels=labels))
    assert all(f" {name} " in page.words("performance") for name in ("r2", "mae", "rmse"))
    assert "lower" in page.words("performance")
    assert "estimated" not in page.words()
    assert "true ↓" not in page.words()


def test_the_trend_shows_each_window(cancer_model):
    clock = Clock()
    monitor = cancer_model.served(cancer_model.held, clock=clock)
    clock.now += 2 * HOUR
    cancer_model.served(moved(cancer_model), monitor=monitor)
    page = page_of(monitor)
    assert re.search(
        r"2025-11-24 16:00 UTC 239 0 % .* 17:00 UTC 0 – – – .* 18:00 UTC 239 [67].\d %", page.words("trend")
    )
    source = page.source[page.source.index('id="trend"') :]
    assert source.count('class="dot"') == 1


@pytest.mark.parametrize("windows", [2, 30, 1000])
def test_a_long_ring_is_added_up(cancer_model, make, windows):
    clock = Clock()
    monitor = cancer_model.served(clock=clock, limits=make.Limits(windows=windows))
    for _ in range(35):
        clock.now += HOUR
        cancer_model.served(cancer_model.held.iloc[:7], monitor=monitor)
    page = page_of(monitor)
    rows = [int(each) for each in re.findall(r"UTC (\d+) –", page.words("trend"))]
    assert len(rows) <= 24
    assert sum(rows) == 7 * min(windows, 35)


@pytest.mark.parametrize("classes", [20, 60])
def test_many_classes_are_listed_by_what_was_right_of_them(make, classes):
    """With ``<other>``, 20 are too many for a matrix."""
    X, y = datasets.make_blobs(classes * 40, centers=classes, random_state=0, cluster_std=0.2, center_box=(-50, 50))
    frame, truth = pd.DataFrame(X, columns=["a", "b"]), pd.Series([f"{make.EVIL}{number}" for number in y])
    thirds = [(frame.iloc[start::3], truth.iloc[start::3]) for start in range(3)]
    model = make.model_of(DecisionTreeClassifier(random_state=0), *thirds)
    page = page_of(model.served(model.held, labels=model.truth))
    words = page.words("performance")
    assert "Class True Predicted Right Recall" in words
    assert ("rarer classes" in words) is (classes > 40)
    assert words.count(make.EVIL[:10]) == min(classes, 40) + 1  # and in the example of a label
    shown = [each["id"] for each in page.all("article") if (each.get("id") or "").startswith("answer-")]
    assert len(shown) == 12
    assert "more that changed less" in page_of(model.served(model.held), answer="prediction").words("answers")


def test_answers_that_no_label_can_judge_ask_for_none(cancer_model):
    baseline = replace(cancer_model.baseline, task="other")
    page = page_of(replace(cancer_model, baseline=baseline).served(cancer_model.held))
    assert "no label can say whether they are right" in page.words("performance")
    assert "/feedback" not in page.words()


def test_texts_and_times_say_what_is_counted_of_them(make):
    random = np.random.RandomState(0)
    frame = pd.DataFrame(
        {
            "note": ["x" * random.randint(1, 400) + str(number) for number in range(900)],
            "seen": pd.Timestamp("2025-01-01") + pd.to_timedelta(random.randint(0, 10**7, 900), unit="s"),
            "took": pd.to_timedelta(random.randint(1, 10**5, 900), unit="s"),
            "n": random.randn(900),
        }
    )
    pick = make_pipeline(FunctionTransformer(lambda X: X[["n"]]), LinearRegression())
    parts = [(frame.iloc[start::3], frame["n"].iloc[start::3]) for start in range(3)]
    model = make.model_of(pick, *parts)
    page = page_of(model.served(model.held))
    words = page.words("features")
    assert "The text's length, in characters." in words
    assert "In UTC." in words
    assert re.search(
        r"Most changed: (below |above )?2025-0\d-\d\d \d\d:\d\d( to 2025-0\d-\d\d \d\d:\d\d)?, from", words
    )
    assert re.search(r"Most changed: (below |above )?[\d.,]+ (s|min|h)( to [\d.,]+ (s|min|h))?, from", words)


# ---- what is asked -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        ({}, 478),
        ({"window": "total"}, 478),
        ({"window": "1h"}, 239),
        ({"window": "24h"}, 478),
        ({"window": "2025-11-24T16:00Z/2025-11-24T17:00Z"}, 239),
        ({"from": "2025-11-24T16:00", "to": "2025-11-24T17:00"}, 239),
        ({"from": "2025-11-24T18:00+02:00", "to": "2025-11-24T19:00+02:00"}, 239),
        ({"from": "2020-01-01T00:00", "to": "2020-01-02T00:00"}, 0),
        ({"window": "total", "from": "2020-01-01T00:00", "to": "2020-01-02T00:00"}, 0),
    ],
)
def test_the_reader_picks_the_window(cancer_model, query, rows):
    clock = Clock()
    monitor = cancer_model.served(cancer_model.held, clock=clock)
    clock.now += 6 * HOUR
    cancer_model.served(cancer_model.held, monitor=monitor)
    page = page_of(monitor, **query)
    assert f" {rows} rows " in page.words("verdict")
    current = [each["href"] for each in page.all("a", **{"aria-current": "true"})]
    assert current == (["/monitor"] if query in ({}, {"window": "total"}) else current[:1])
    if rows == 0:
        assert "No rows Nothing was counted in this window." in page.words("verdict")
        assert page.all("input", name="from", value="2020-01-01T00:00")
    document = next(each["href"] for each in page.all("a") if each["href"].startswith("/monitor.json"))
    asked = unquote_plus(urlsplit(document).query).removeprefix("window=") or "total"
    assert monitor.report(Question.of({"window": asked}).span).counts.rows == rows


@pytest.mark.parametrize(
    "query",
    [
        {"window": ""},
        {"window": "yesterday"},
        {"window": "0h"},
        {"window": "<script>hacked=1</script>"},
        {"window": "2026-01-02T00:00/2026-01-03T00:00"},
        {"from": "2026-01-03T00:00", "to": "2026-01-02T00:00"},
        {"from": "2026-01-03T00:00"},
        {"to": "2026-01-03T00:00"},
        {"from": '"><script>hacked=1</script>', "to": "\x00"},
        {"from": "9" * 5000, "to": "x"},
    ],
)
def test_what_is_no_window_is_said_at_the_choice(cancer_model, query):
    page = page_of(cancer_model.served(), 400, **query)
    assert "No such window: a window is total" in page.words()
    assert len(page.all("p", role="alert")) == 1
    assert len(page.all("form", method="get", action="/monitor")) == 1
    for name in ("from", "to"):
        typed = query.get(name, "")
        assert [each["value"] for each in page.all("input", name=name)] == [typed if "2026-" in typed else ""]
    assert not page.all("article")


def test_a_column_that_is_asked_for_is_shown_first(cancer_model):
    monitor = cancer_model.served(cancer_model.held)
    last = monitor.report().inputs.columns[-1].name
    assert last not in " ".join(each["aria-labelledby"] for each in page_of(monitor).all("article"))
    page = page_of(monitor, feature=last, answer="confidence", window="24h")
    asked = [each["id"] for each in page.all("article") if "asked" in each["class"].split()]
    assert len(asked) == 2
    assert page.words(asked[0]).startswith(last)
    assert page.words(asked[1]).startswith("confidence")
    close = [each["id"] for each in page.all("article") if each.get("id", "").startswith("feature-")]
    assert (close[0], len(close)) == (asked[0], 12)


@pytest.mark.parametrize("name", ["", "nothing", "<script>hacked=1</script>", "mean radius ", "\ud800", "x" * 9000])
@pytest.mark.parametrize("kind", ["feature", "answer"])
def test_a_column_that_is_not_there_is_said_to_be_none(cancer_model, kind, name):
    page = page_of(cancer_model.served(cancer_model.held), 404, **{kind: name})
    assert "There is no column " in page.words({"feature": "features", "answer": "answers"}[kind])
    assert len(page.all("article")) > 12


# ---- whatever columns are called, however many there are -----------------------------------------------------------


def test_hostile_names_are_text_and_their_links_lead_to_them(make, wide_model_300):
    frame = wide_model_300.held.copy()
    frame[make.NAMES] = 5.0
    page = page_of(wide_model_300.served(frame, labels=wide_model_300.truth[:60]))
    assert "10 of 300 columns drifted" in page.words("verdict")
    assert make.EVIL in page.words("features")
    assert make.EVIL[:20] in page.words("drift")
    assert make.EVIL[:20] in page.words("performance")
    assert "&amp;lt;b&amp;gt;" in page.source
    assert not re.search("[\u202a-\u202e\u2066-\u2069\x00\x1b]", page.source)
    links = [each["href"] for each in page.all("a") if (each["href"] or "").startswith("/monitor?feature=")]
    assert len(links) == 288
    few = wide_model_300.served(wide_model_300.held.iloc[:5])
    hrefs = [each["href"] for each in page_of(few).all("a") if (each["href"] or "").startswith("/monitor?feature=")]
    asked = {unquote_plus(urlsplit(href).query.removeprefix("feature=")): urlsplit(href).fragment for href in hrefs}
    for name in make.NAMES[:5]:
        close = [each["id"] for each in page_of(few, feature=name).all("article") if "asked" in each["class"].split()]
        assert close == [f"feature-{wide_model_300.baseline.input.names.index(name)}"]
        assert asked.get(name, close[0]) == close[0]
    assert len({*asked} & {*make.NAMES}) >= 3


def test_a_wide_page_stays_small(wide_model_300, show):
    monitor = wide_model_300.served(wide_model_300.held, labels=wide_model_300.truth)
    page = page_of(monitor)
    size = len(page.source.encode())
    show(f"300 columns: {size / 1e6:.2f} MB")
    assert size < 1_000_000
    assert page.words("drift").count(" limit 0.1 ") == 300


def test_of_very_many_columns_the_worst_are_listed(make):
    model = make.wide_model(width=900, rows=1300)
    clock = Clock()
    monitor = model.served(model.held, clock=clock)
    clock.now += HOUR
    model.served(model.held, monitor=monitor)
    page = page_of(monitor)
    assert "and 500 columns that changed less" in page.words("drift")
    assert "Columns that drifted" not in page.words("trend")
    assert len(page.source.encode()) < 1_500_000
    assert page_of(monitor, feature=monitor.report().inputs.columns[-1].name).all("article")


# ---- the route -----------------------------------------------------------------------------------------------------


def test_the_page_is_served_with_what_was_predicted(cancer_model, watching, tools):
    rows = cancer_model.held.to_dict("records")
    with tools.client_of(watching(cancer_model)) as client:
        assert client.post("/predict", json={"rows": rows}).status_code == 200
        answer = client.get("/monitor")
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        check(answer.text, answer.headers["content-security-policy"])
        assert f" {len(rows)} rows since" in Page(answer.text).words()
        assert f"curl {client.base_url}/feedback" in Page(answer.text).words()
        statuses = {
            query: client.get(f"/monitor?{query}").status_code
            for query in ("window=x", "feature=x", "feature=mean+radius", "from=2026-01-01T00:00&to=2026-01-02T00:00")
        }
        assert list(statuses.values()) == [400, 404, 200, 200]
        assert client.post("/monitor").status_code == 405
        described = client.get("/openapi.json").json()["paths"]["/monitor"]["get"]
        assert described["responses"].keys() == {"200", "400", "404", "503"}
        assert 'href="/monitor"' in client.get("/").text


def test_where_nothing_is_monitored_the_page_says_why(cancer, cancer_model, watching, tools):
    with tools.client_of(cancer.folder) as client:
        answer = client.get("/monitor?window=x")
    assert answer.status_code == 200
    check(answer.text, answer.headers["content-security-policy"])
    assert "Nothing is monitored here: the package has no input_profile.json." in Page(answer.text).words()
    broken = watching(cancer_model)
    profile = json.loads((broken / contract.INPUT_PROFILE).read_bytes()) | {"format_version": 99}
    tools.repack(SimpleNamespace(folder=broken), contract.INPUT_PROFILE, json.dumps(profile).encode())
    with tools.client_of(broken) as client:
        assert "has format 99" in Page(client.get("/monitor").text).words()


def test_people_are_told_that_the_model_is_loading(tmp_path):
    transport = httpx.ASGITransport(create_app(Settings(model_dir=tmp_path), None))

    async def ask():
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.get("/monitor")

    answer = asyncio.run(ask())
    assert (answer.status_code, "Almost there" in answer.text) == (503, True)


def test_the_page_is_imported_when_it_is_asked_for_and_then_listed_for_byte_code(cancer_model, watching):
    code = "import sys, modelimg_runtime.serve, modelimg_runtime.app; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "modelimg_runtime.monitoring" in loaded
    assert [name for name in loaded if name.startswith("modelimg_runtime.pages")] == []
    command = [sys.executable, "-m", "modelimg_runtime.imports", str(watching(cancer_model))]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    modules = {f"modelimg_runtime.pages.monitor.{file.stem}" for file in Path(whole.__file__).parent.glob("[!_]*.py")}
    assert modules <= {*listed}
