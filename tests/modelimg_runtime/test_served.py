"""The fast lane in front of the path that decides: the same answers, and nothing imported that is not needed."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pandera.pandas as pa
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier

from modelimg_runtime import contract
from modelimg_runtime.errors import InputRejected, ModelRefused, OutputRejected, PackageUnreadable, PayloadError
from modelimg_runtime.lane import NoFastLane, open_lane
from modelimg_runtime.package import open_package
from modelimg_runtime.selftest import selftest
from modelimg_runtime.served import open_served

IN_A_PROCESS = """
import sys
from pathlib import Path
from modelimg_runtime.errors import InputRejected
from modelimg_runtime.service import prepare

ready = prepare(Path(sys.argv[1]), fast_path=sys.argv[2] == "on")
heavy = {"pandas", "pandera", "sklearn", "scipy.stats"}
print(sorted(heavy & sys.modules.keys()))
try:
    ready.model.predict_columns({})
except InputRejected as error:
    print(error.violations[0].check, sorted(heavy & sys.modules.keys()))
"""


def served(made, *, fast_path=True):
    return open_served(made.folder, fast_path=fast_path)


@pytest.mark.parametrize("name", ["cancer", "regressor", "two_outputs"])
def test_both_ways_give_the_same_bits(request, name):
    made = request.getfixturevalue(name)
    fast, slow = served(made), served(made, fast_path=False)
    assert fast.lane is not None
    assert slow.lane is None
    quick = fast.lane.predict_columns(made.columns)
    assert quick is not None
    assert repr(quick) == repr(slow.predict_columns(made.columns))
    for row in range(len(made.rows)):
        one = {column: values[row : row + 1] for column, values in made.columns.items()}
        assert repr(fast.predict_columns(one)) == repr(slow.predict_columns(one))


@pytest.fixture(scope="module")
def categories(tmp_path_factory, tools):
    """Boosting with native categories and missing values, behind a contract whose categories are a check."""
    random = np.random.default_rng(0)
    sizes, X = ["S", "M", "L"], pd.DataFrame({"x": random.normal(size=200)})
    X["size"] = pd.Categorical(random.choice([*sizes, None], 200), categories=sizes)
    model = HistGradientBoostingClassifier(max_iter=6).fit(X, np.where(X["x"] + (X["size"] == "M") > 0.4, "yes", "no"))
    schema = pa.DataFrameSchema(
        {
            "x": pa.Column("float64", nullable=True),
            "size": pa.Column("category", pa.Check.isin(sizes), nullable=True),
        },
        strict=True,
    )
    columns = {f"probability_{label}": pa.Column("float64", pa.Check.in_range(0, 1)) for label in ("no", "yes")}
    output = pa.DataFrameSchema({"prediction": pa.Column("str"), **columns}, strict=True)
    return tools.write_package(tmp_path_factory.mktemp("c") / "model", model, X.iloc[:40], schema, output)


def test_categories_take_the_fast_lane_too(categories, show):
    fast, slow = served(categories), served(categories, fast_path=False)
    found = 0
    for size in ("S", "M", "L", None, "XL", "", "s", 1, True):
        for x in (0.3, -2, None, True, "1"):
            columns = {"x": [x, 0.5], "size": ["M", size]}
            quick = fast.quick(columns)
            try:
                expected = slow.predict_columns(columns)
            except InputRejected:
                assert quick is None
            else:
                assert repr(quick) == repr(expected)
                found += 1
    show(f"answers compared: {found}")
    assert found == 4 * 3


@pytest.mark.parametrize("name", ["cancer", "categories", "regressor"])
@pytest.mark.parametrize("fast_path", [True, False])
def test_eight_threads_that_share_a_model_get_the_bits_of_one(request, name, fast_path, show):
    made = request.getfixturevalue(name)
    one = served(made, fast_path=fast_path)
    rows = len(next(iter(made.columns.values())))
    asked = [
        {column: values[at:end] for column, values in made.columns.items()}
        for at in range(rows)
        for end in (at + 1, rows)
    ]
    alone = [repr(one.predict_columns(columns)) for columns in asked]
    order = (
        np.random.default_rng(0).permutation(np.repeat(np.arange(len(asked)), 30))[: 2000 if fast_path else 60].tolist()
    )
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda at: repr(one.predict_columns(asked[at])), order))
    assert found == [alone[at] for at in order]
    show(f"{name}: {len(order)} answers of eight threads compared")


def test_without_a_fast_form_the_compiled_contract_stands_in_front_of_scikit_learn(categories, tmp_path, tools):
    folder = tmp_path / "copy"
    folder.mkdir()
    for file in categories.folder.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    proof = contract.FastPath(False, 0, "no fast form").to_json().encode()
    tools.repack(type(categories)(folder, categories.columns), contract.FAST_PATH, proof)
    model, decides = open_served(folder, fast_path=True), open_served(folder, fast_path=False)
    assert model.lane is None
    assert model.reference is not None
    assert decides.reference is None
    for columns in (categories.columns, {name: values[:1] for name, values in categories.columns.items()}):
        quick = model.reference.predict_columns(columns)
        assert repr(quick) == repr(decides.predict_columns(columns)) == repr(model.predict_columns(columns))
    assert model.reference.predict_columns({"x": [1.0], "size": ["XL"]}) is None
    for each in (model, decides):
        with pytest.raises(InputRejected):
            each.predict_columns({"x": [1.0], "size": ["XL"]})


def test_a_contract_that_is_code_is_left_to_pandera(coded):
    assert served(coded).reference is None


def test_csv_fields_take_the_fast_lane_too(cancer):
    fields = {name: [repr(value) for value in values] for name, values in cancer.columns.items()}
    fast = served(cancer)
    assert fast.lane.predict_columns(fields, text=True) == served(cancer).predict_columns(cancer.columns)
    assert fast.lane.predict_columns(fields) is None  # text where JSON numbers should be


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"mean radius": None}, InputRejected),
        ({"mean radius": "12"}, InputRejected),
        ({"mean radius": True}, InputRejected),
        ({"mean radius": -1.0}, InputRejected),
        ({"mean radius": 10**400}, InputRejected),
        ({"another": 1.0}, InputRejected),
    ],
)
def test_what_the_contract_refuses_is_refused_as_without_the_fast_lane(cancer, change, error):
    columns = {name: values[:1] for name, values in cancer.columns.items()} | {k: [v] for k, v in change.items()}
    said = []
    for fast_path in (True, False):
        with pytest.raises(error) as caught:
            served(cancer, fast_path=fast_path).predict_columns(columns)
        said.append([str(violation) for violation in caught.value.violations])
    assert said[0] == said[1] != []


def test_columns_of_different_lengths_are_no_table_either_way(cancer):
    columns = dict(cancer.columns) | {"mean radius": [1.0]}
    for fast_path in (True, False):
        with pytest.raises(PayloadError, match="different lengths"):
            served(cancer, fast_path=fast_path).predict_columns(columns)


@pytest.mark.parametrize("value", [1e6, 334.0])
def test_an_answer_that_breaks_the_output_contract_is_refused_either_way(regressor, value):
    for fast_path in (True, False):
        with pytest.raises(OutputRejected):
            served(regressor, fast_path=fast_path).predict_columns({"a": [value], "b": [value]})


@pytest.mark.parametrize(
    ("switch", "lines"),
    [
        ("on", ["[]", "column_in_dataframe ['pandas', 'pandera', 'scipy.stats', 'sklearn']"]),
        ("off", ["['pandas', 'pandera', 'scipy.stats', 'sklearn']"]),
    ],
)
def test_heavy_packages_are_imported_when_something_needs_them(cancer, switch, lines):
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(IN_A_PROCESS), str(cancer.folder), switch],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[: len(lines)] == lines


def test_threads_that_need_the_model_at_once_load_it_once(cancer, monkeypatch):
    from modelimg_runtime import model

    loads = []
    real = model.load_model
    monkeypatch.setattr(model, "load_model", lambda folder: loads.append(folder) or real(folder))
    one = served(cancer)
    refusals = []

    def refuse():
        try:
            one.predict_columns({})
        except InputRejected as error:
            refusals.append(str(error))

    threads = [threading.Thread(target=refuse) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(loads) == 1
    assert len(refusals) == 8
    assert len(set(refusals)) == 1


@pytest.mark.parametrize(
    ("proof", "reason"),
    [
        (b'{"equal": false, "rows": 3, "reason": "the last bits differ"}', "the last bits differ"),
        (b'{"equal": "true", "rows": 3, "reason": null}', "did not find it equal"),
        (b'{"equal": 1, "rows": 3, "reason": null}', "did not find it equal"),
        (b'{"rows": 3}', "lacks a field"),
        (b"[]", "lacks a field"),
        (b"no JSON", "Expecting value"),
    ],
)
def test_without_proof_there_is_no_fast_lane_and_the_model_serves_all_the_same(fresh_cancer, tools, proof, reason):
    tools.repack(fresh_cancer, contract.FAST_PATH, proof)
    with pytest.raises(NoFastLane, match=reason):
        open_lane(open_package(fresh_cancer.folder))
    slow = served(fresh_cancer)
    assert slow.lane is None
    assert slow.predict_columns(fresh_cancer.columns).predictions


@pytest.mark.parametrize(
    ("name", "reason"), [("mixed", "joined"), ("coded", "a schema is code")], ids=["a date", "a schema in Python"]
)
def test_contracts_that_only_pandera_knows_have_no_fast_lane(request, name, reason):
    with pytest.raises(NoFastLane, match=reason):
        open_lane(open_package(request.getfixturevalue(name).folder))


def test_a_package_of_before_has_no_fast_lane(fresh_cancer, tools):
    tools.edit_manifest(fresh_cancer.folder, lambda manifest: manifest["files"].pop(contract.FAST_PATH))
    (fresh_cancer.folder / contract.FAST_PATH).unlink()
    with pytest.raises(NoFastLane, match=r"has no fast_path\.json"):
        open_lane(open_package(fresh_cancer.folder))


def test_another_scikit_learn_than_the_models_is_left_to_the_path_that_refuses_it(fresh_cancer, monkeypatch):
    from modelimg_runtime import lane

    monkeypatch.setattr(lane.metadata, "version", lambda _name: "1.0.2")
    with pytest.raises(NoFastLane, match=r"and here is 1\.0\.2"):
        open_lane(open_package(fresh_cancer.folder))


@pytest.mark.parametrize("file", ["model.joblib", contract.FAST_PATH, contract.INPUT_SCHEMA, contract.OUTPUT_SCHEMA])
def test_a_changed_file_is_refused_before_it_is_read(fresh_cancer, file):
    path = fresh_cancer.folder / file
    path.write_bytes(path.read_bytes()[:-1] + b" ")
    with pytest.raises((PackageUnreadable, ModelRefused), match="has sha256"):
        served(fresh_cancer)


def test_the_self_test_fails_where_the_fast_lane_answers_otherwise(fresh_cancer, monkeypatch):
    from modelimg_runtime.fast import FastModel

    real = FastModel.answer

    def wrong(self, batch):
        answer = real(self, batch)
        answer.probabilities[0] = answer.probabilities[0][::-1].copy()
        return answer

    assert selftest(fresh_cancer.folder).fast_path is True
    monkeypatch.setattr(FastModel, "answer", wrong)
    verdict = selftest(fresh_cancer.folder)
    assert not verdict.passed
    assert "the answers to the examples differ" in verdict.error


def test_the_switch_turns_the_fast_lane_off_and_other_words_are_refused(fresh_cancer, tools):
    with tools.server_of(fresh_cancer.folder, MODELIMG_FAST_PATH="off") as server:
        server.wait_for("/readyz")
        body = json.dumps({"rows": fresh_cancer.rows}).encode()
        assert server.request("POST", "/predict", body, content_type="application/json")[0] == 200
    for word in ("false", "0", "OFF", "on "):
        done = tools.run_runtime("info", folder=fresh_cancer.folder, MODELIMG_FAST_PATH=word)
        assert done.returncode == 1
        assert "neither on nor off" in done.stderr
