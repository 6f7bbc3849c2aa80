"""``/monitor`` as a browser gets it: what it says of no data, of calm and of drift, and whatever columns are called."""

from __future__ import annotations

import re
from dataclasses import replace
from urllib.parse import unquote_plus, urlsplit

import numpy as np
import pandas as pd
import pytest
from sklearn import datasets
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.tree import DecisionTreeClassifier

from modelimg_runtime.monitor import Limits
from modelimg_runtime.monitor.report import BLIND
from monitor_page import BASE, HOUR, Clock, moved, page_of

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
def test_a_long_ring_is_added_up(cancer_model, windows):
    clock = Clock()
    monitor = cancer_model.served(clock=clock, limits=Limits(windows=windows))
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
