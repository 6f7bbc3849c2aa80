"""Real tables through the live path: packed, read back from disk, predicted by the runtime, counted, reported."""

from __future__ import annotations

import gc
import json
import os
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pandera.pandas as pa
import pytest
from scipy import stats
from scipy.spatial.distance import jensenshannon
from sklearn import datasets
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from modelimg.oci.values import Digest
from modelimg.pack.allowlist import AllowList
from modelimg.pack.answers import output_profile
from modelimg.pack.data import read_splits, reader_for
from modelimg.pack.draft import draft_output
from modelimg.pack.model import read_model
from modelimg.pack.profiles import input_profile
from modelimg_runtime import contract
from modelimg_runtime.errors import InputRejected
from modelimg_runtime.monitor import Limits, Monitor, open_monitor
from modelimg_runtime.monitor.routes import monitor_json
from modelimg_runtime.profile import CategoryBins
from modelimg_runtime.served import ServedModel, open_served

ROOT = Path(__file__).parents[3]
REPEATS = 100
SHIFTED = 10
SIZES = (1, 3, 50, 7, 400)


@dataclass(frozen=True)
class Table:
    X: pd.DataFrame
    y: pd.Series
    estimator: object
    """Makes one that is not fitted."""


def of_sklearn(load, estimator):
    data = load(as_frame=True)
    return Table(data.data.rename(columns=str), data.target, estimator)


def penguins():
    frame = pd.read_csv(ROOT / "examples/penguins/penguins.csv").drop(columns="year")
    numbers = ["bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g"]
    frame[numbers] = frame[numbers].astype("float64")

    def estimator():
        words = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
        encode = make_column_transformer((SimpleImputer(), numbers), (words, ["island", "sex"]))
        return make_pipeline(encode, StandardScaler(), LogisticRegression())

    return Table(frame.drop(columns="species"), frame["species"], estimator)


def classifier():
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))


TABLES = {
    "breast cancer": lambda: of_sklearn(datasets.load_breast_cancer, classifier),
    "diabetes": lambda: of_sklearn(datasets.load_diabetes, LinearRegression),
    "penguins": penguins,
    "wine": lambda: of_sklearn(datasets.load_wine, classifier),
}


@dataclass(frozen=True)
class Half:
    """A model that was fitted on and packed with one half of a table, and the rows of the other."""

    model: ServedModel
    train: pd.DataFrame
    held: pd.DataFrame

    def monitor(self):
        return open_monitor(self.model.package, Limits(), 1, None)


@pytest.fixture(scope="module")
def half(tools, tmp_path_factory):
    """Table and seed → its halves, or as much to serve as leaves 210 rows."""
    folder = tmp_path_factory.mktemp("served")
    table_of = cache(lambda name: TABLES[name]())

    @cache
    def make(name, seed):
        table = table_of(name)
        order = np.random.RandomState(seed).permutation(len(table.X))
        cut = min(len(order) // 2, max(len(order) - 210, len(order) // 3))
        train, test, held = np.split(order, [cut * 2 // 3, cut])
        path = pack(tools, folder / f"{name}-{seed}", table, train, test)
        served = open_served(path, fast_path=True)
        return Half(served, table.X.iloc[train], table.X.iloc[held].reset_index(drop=True))

    return make


def pack(tools, folder, table, train, test):
    """A package of a model that was fitted on some rows and tested on others, profiled by what packs models."""
    model = table.estimator().fit(table.X.iloc[train], table.y.iloc[train])
    packed = read_model(model, AllowList(), folder)
    reader = reader_for(packed.estimator, None, folder)
    rows = {"train": train, "test": test}
    splits = read_splits(reader, {name: (table.X.iloc[at], table.y.iloc[at]) for name, at in rows.items()})
    # Without a target, packing leaves out metrics and calibration, which take most of its time and are not looked at.
    splits = {name: replace(split, y=None) for name, split in splits.items()}
    missing = bool(table.X.isna().any(axis=None))
    kinds = {name: "float64" if table.X[name].dtype == float else "str" for name in table.X}
    # An open contract: what it would refuse, the monitor would not see.
    accepts = pa.DataFrameSchema({name: pa.Column(kind, nullable=missing) for name, kind in kinds.items()}, strict=True)
    answers = draft_output(packed, splits["test"].X)
    settings, digest = contract.ProfileSettings(), Digest.of(answers.content).hex
    profiles = {
        contract.INPUT_PROFILE: input_profile(splits["train"], digest, settings).to_json().encode(),
        contract.OUTPUT_PROFILE: output_profile(packed, splits["test"], digest, settings).to_json().encode(),
    }
    examples = table.X.iloc[test].dropna().iloc[:5]
    return tools.write_package(folder, packed.estimator, examples, accepts, answers.schema, extra=profiles).folder


def serve(half, frame, monitor=None, sizes=SIZES):
    """A monitor that has counted a frame, asked for as callers send it, in requests of several sizes."""
    monitor = monitor or half.monitor()
    live, start, number = monitor.live(), 0, 0
    while start < len(frame):
        part = frame.iloc[start : start + sizes[number % len(sizes)]]
        prediction = half.model.predict_columns(columns_of(part))
        live.observe(prediction.accepted, prediction, f"r{number}")
        start, number = start + len(part), number + 1
    return monitor


def columns_of(frame):
    """Columns as they come out of JSON."""
    return {name: [None if value != value else value for value in frame[name].tolist()] for name in frame}


@pytest.mark.parametrize("name", ["breast cancer", "diabetes", "penguins"])
def test_the_held_back_half_is_no_drift_in_99_of_100_repeats(name, half, show):
    alarms, answers, rows = [], [], 0
    for seed in range(REPEATS):
        it = half(name, seed)
        found = serve(it, it.held).report()
        rows += found.counts.rows
        assert "insufficient data" not in (found.inputs.status, found.outputs.status)
        alarms += [found.inputs.drifted] if found.inputs.status == "drift" else []
        answers += [found.outputs.drifted] if found.outputs.status == "drift" else []
    lane = "fast lane" if it.model.lane else "scikit-learn"
    show(
        f"{name} ({lane}): {rows} rows in {REPEATS} repeats: drift of inputs in {len(alarms)}, of answers in {len(answers)}"
    )
    assert len(alarms) <= REPEATS // 100, alarms
    assert len(answers) <= REPEATS // 100, answers


def mean_shift(live, train, random):
    for name in ("mean radius", "worst texture"):
        live[name] += train[name].std()


def scale(live, train, random):
    live["mean area"] *= 1.6


def swapped(live, train, random):
    names = ["mean smoothness", "worst smoothness"]
    live[names] = live[names[::-1]].to_numpy()


def new_category(live, train, random):
    live.loc[random.rand(len(live)) < 0.2, "island"] = "Ross"


def more_nulls(live, train, random):
    live.loc[random.rand(len(live)) < 0.3, "sex"] = None
    live.loc[random.rand(len(live)) < 0.3, "body_mass_g"] = None


def swapped_bills(live, train, random):
    names = ["bill_length_mm", "bill_depth_mm"]
    live[names] = live[names[::-1]].to_numpy()


def other_order(live, train, random):
    live[:] = live.sample(frac=1, random_state=random).to_numpy()


def small_shift(live, train, random):
    live += train.std() / 50


def small_scale(live, train, random):
    live *= 1.005


def columns_in_another_order(live, train, random):
    for name in sorted(live, reverse=True):
        live[name] = live.pop(name)


def one_new_category(live, train, random):
    live.loc[random.randint(len(live)), "island"] = "Ross"


def one_null(live, train, random):
    live.loc[random.randint(len(live)), ["bill_depth_mm", "flipper_length_mm"]] = None


def moved_once(live, train, random):
    live.iloc[random.randint(len(live))] = train.mean() + 100 * train.std()


DISTRIBUTION, MISSING = {"distribution"}, {"missing"}
UNKNOWN = {"unseen", "out_of_range", "distribution"}
"""Of a column of which the training half had rare categories, nobody can tell which are new."""
CHANGES = [
    ("breast cancer", mean_shift, {"mean radius": DISTRIBUTION, "worst texture": DISTRIBUTION}),
    ("breast cancer", scale, {"mean area": DISTRIBUTION}),
    ("breast cancer", swapped, {"mean smoothness": DISTRIBUTION, "worst smoothness": DISTRIBUTION}),
    ("penguins", new_category, {"island": UNKNOWN}),
    ("penguins", more_nulls, {"sex": MISSING, "body_mass_g": MISSING}),
    ("penguins", swapped_bills, {"bill_length_mm": UNKNOWN, "bill_depth_mm": UNKNOWN}),
    ("breast cancer", other_order, {}),
    ("breast cancer", small_shift, {}),
    ("breast cancer", small_scale, {}),
    ("breast cancer", columns_in_another_order, {}),
    ("breast cancer", moved_once, {}),
    ("penguins", one_new_category, {}),
    ("penguins", one_null, {}),
]


@pytest.mark.parametrize(("name", "change", "reasons"), CHANGES, ids=[change.__name__ for _, change, _ in CHANGES])
def test_columns_that_changed_are_named_and_no_others(name, change, reasons, half, show):
    exact = 0
    for seed in range(SHIFTED):
        it = half(name, seed)
        live = it.held.copy()
        change(live, it.train, np.random.RandomState(seed))
        found = {column.name: column.reasons for column in serve(it, live).report().inputs.columns if column.reasons}
        assert all(reasons[column] & {*found[column]} for column in reasons.keys() & found.keys())
        exact += found.keys() == reasons.keys()
    show(f"{name}, {change.__name__}: exactly {sorted(reasons) or 'none'} in {exact} of {SHIFTED} repeats")
    assert exact == SHIFTED


@pytest.mark.parametrize(("name", "rows"), [("wine", 119), ("breast cancer", 199), ("breast cancer", 0)])
def test_of_too_few_rows_nothing_is_said_however_much_changed(name, rows, half):
    it = half(name, 0)
    found = serve(it, it.held.iloc[:rows] * 3).report()
    assert (found.counts.rows, found.inputs.status, found.outputs.status) == (rows, *2 * ("insufficient data",))
    assert not found.inputs.drifted + found.outputs.drifted


def test_what_the_contract_refuses_is_not_counted(half):
    it = half("breast cancer", 0)
    monitor = serve(it, it.held)
    before = monitor.document().counts()
    for broken in (
        it.held.drop(columns="mean radius"),
        it.held.assign(more=1.0),
        it.held.assign(**{"mean radius": "wide"}),
        it.held.assign(**{"mean radius": [*it.held["mean radius"][:-1], None]}),
    ):
        with pytest.raises(InputRejected):
            serve(it, broken, monitor, (400,))
    assert monitor.document().counts() == before


@pytest.mark.parametrize("name", ["breast cancer", "diabetes", "penguins"])
def test_live_counts_are_those_of_the_rows_and_their_statistics_are_scipys(name, half, show):
    it, compared = half(name, 0), 0
    live = it.held.copy()
    numbers = [*live.select_dtypes("float64")][:3]
    live.loc[::4, numbers] = live.loc[::4, numbers] * 1.2
    monitor = serve(it, live)
    document = json.loads(monitor_json(monitor, "total"))
    (replica,), found = document["replicas"], {each["name"]: each for each in document["report"]["inputs"]["columns"]}
    for profile in monitor.baseline.input.columns:
        counts = replica["total"]["inputs"][profile.name]
        assert counts == placed(profile.bins, live[profile.name])
        assert counts == profile.binner().counts(live[profile.name]).tolist()
        compared += check_statistics(found[profile.name], np.array(profile.counts[:-1]), np.array(counts[:-1]))
    show(f"{name}: {compared} statistics of {len(found)} columns are SciPy's")


def placed(bins, values):
    """Counts of values in bins, by another way than the runtime's."""
    missing = int(values.isna().sum())
    if isinstance(bins, CategoryBins):
        known = [int((values == name).sum()) for name in bins.categories]
        others = len(values) - sum(known) - missing
        return [*known, *((others, 0) if bins.folded else (0, others)), missing]
    edges = np.array(bins.edges)
    alone = int(edges[0] == edges[1])  # the first bin holds that one value
    inside = pd.cut(values, edges[alone:], include_lowest=not alone).value_counts(sort=False).tolist()
    first = [int((values == edges[0]).sum())] if alone else []
    return [int((values < edges[0]).sum()), *first, *inside, int((values > edges[-1]).sum()), missing]


def check_statistics(column, reference, live):
    """Compare a column of the report with SciPy on the same bins; how many statistics were compared."""
    p, q = pooled(reference, live)
    found = column["distribution"]
    assert found["bins"] == len(p)
    test = stats.chi2_contingency([p, q], correction=False)
    index, one = found["chi_square"], found["kolmogorov_smirnov"]
    assert (index["statistic"], index["p"]) == (pytest.approx(test.statistic), pytest.approx(test.pvalue, rel=1e-6))
    if one is not None:
        values = [np.repeat(np.arange(len(each)), each) for each in (p, q)]
        assert one["value"] == pytest.approx(stats.ks_2samp(*values, method="asymp").statistic)
    a, b = ((each + 0.5) / (each + 0.5).sum() for each in (p, q))
    assert found["psi"]["value"] == pytest.approx(stats.entropy(a, b) + stats.entropy(b, a))
    assert found["jensen_shannon"]["value"] == pytest.approx(jensenshannon(a, b, base=2))
    assert found["l_infinity"]["value"] == pytest.approx(np.abs(p / p.sum() - q / q.sum()).max())
    return 4 + (one is not None)


def pooled(reference, live):
    """Neighbouring bins together until each expects five rows on either side."""
    groups, least = [[0, 0]], 5 * (reference.sum() + live.sum()) / min(reference.sum(), live.sum())
    for pair in zip(reference.tolist(), live.tolist(), strict=True):
        if sum(groups[-1]) >= least:
            groups.append([0, 0])
        groups[-1] = [a + b for a, b in zip(groups[-1], pair, strict=True)]
    if len(groups) > 1 and sum(groups[-1]) < least:
        left = groups.pop()
        groups[-1] = [a + b for a, b in zip(groups[-1], left, strict=True)]
    return np.array(groups).T


def test_ten_million_rows_of_thirty_columns_are_counted_exactly_in_flat_memory(half, show):
    it, times, repeats = half("breast cancer", 0), 400, 100
    rows, now = 250 * times, [490_000 * 3600.0]
    prediction = it.model.predict_columns(columns_of(pd.concat([it.held.iloc[:250]] * times)))
    baseline = it.monitor().baseline
    monitor = Monitor(baseline, clock=lambda: now[0])
    live = monitor.live()
    for number in range(repeats):
        if number == 30:  # all windows of the ring were used once
            warm = resident()
        now[0] += 3600
        live.observe(prediction.accepted, prediction, f"r{number}")
    grown = resident() - warm
    document = monitor.document()
    counts = document.counts()
    assert (counts.rows, len(document.windows)) == (repeats * rows, 24) == (10_000_000, 24)
    for column in baseline.input.columns:
        once = column.binner().counts(it.held[column.name][:250])
        assert counts.inputs[column.name] == tuple((times * repeats * once).tolist())
    assert {sum(found) for found in [*counts.inputs.values(), *counts.outputs.values()]} == {counts.rows}
    show(
        f"{counts.rows:,} rows of {len(counts.inputs)} columns: {grown / 1e6:+.1f} MB from the 3 millionth to the last"
    )
    assert grown < 8e6


def resident():
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
