"""Reading a model as data: what is refused, and that nothing of the file's is imported or run."""

from __future__ import annotations

import os
import pickle
import random
import subprocess
import sys
import warnings
from collections import Counter, OrderedDict
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from modelimg_runtime.fast import NotAnswered, NotSpecialised, Part, parts_of, read_parts, specialise
from modelimg_runtime.unpickle import RefusedGlobal, UnpickleError, load


@pytest.fixture(scope="module")
def mixed(data):
    """A fitted pipeline with everything that files of such models hold, and a file of it."""
    X, species = data.penguins
    columns = ColumnTransformer(
        [
            ("n", make_pipeline(SimpleImputer(), StandardScaler()), ["bill_length_mm", "year"]),
            ("t", OneHotEncoder(handle_unknown="ignore"), ["island", "sex"]),
        ]
    )
    return make_pipeline(columns, RandomForestClassifier(5, random_state=np.random.RandomState(1))).fit(X, species)


@pytest.mark.parametrize("format", ["joblib", "pickle"])
@pytest.mark.parametrize("protocol", [None, 0, 1, 2, 3, 4, 5])
def test_every_format_and_protocol_gives_an_exact_model(compare, data, mixed, format, protocol):
    X, _ = data.penguins
    pair = compare.pair(mixed, X, format, protocol)
    for rows in (1, 5):
        pair.compare(compare.sample(X, rows), answered=True)
    assert pair.counts["answered"] == 2


@pytest.mark.parametrize("compress", [("zlib", 3), ("lzma", 1), ("bz2", 1), ("gzip", 3)])
def test_compressed_files_are_read(tmp_path, mixed, compress, compare):
    joblib.dump(mixed, tmp_path / "m", compress=compress)
    file = (tmp_path / "m").read_bytes()
    assert read_parts(file, "joblib", frozenset(compare.recorded(file).globals)).name == "Pipeline"


def test_a_part_shows_class_arguments_and_state(compare, data):
    X, y = data.iris
    file = compare.saved(RandomForestClassifier(2).fit(X, y))
    model = read_parts(file, "joblib", frozenset(compare.recorded(file).globals))
    assert (model.cls, model.args) == ("sklearn.ensemble._forest.RandomForestClassifier", ())
    tree = model["estimators_"][0]["tree_"]
    assert (tree.cls, tree.args[0], sorted(tree.state)) == (
        "sklearn.tree._tree.Tree",
        4,
        ["max_depth", "node_count", "nodes", "values"],
    )
    assert {part.name for part in parts_of(model)} == {"RandomForestClassifier", "DecisionTreeClassifier", "Tree"}
    assert model.get("no_such") is None
    with pytest.raises(NotSpecialised, match="has no no_such"):
        model["no_such"]


@pytest.mark.parametrize("format", ["joblib", "pickle"])
def test_a_file_needs_exactly_the_globals_that_loading_it_needs(compare, mixed, format):
    file = compare.saved(mixed, format)
    globals_ = frozenset(compare.recorded(file, format).globals)
    read_parts(file, format, globals_)
    for name in globals_:
        with pytest.raises(RefusedGlobal) as refused:
            read_parts(file, format, globals_ - {name})
        assert f"{refused.value.module} {refused.value.name}" == name


class Calls:
    """Pickles as a call of a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


PAYLOADS = {
    "os.system": (os.system, "touch {}"),
    "exec": (exec, "open({!r}, 'w').close()"),
    "eval": (eval, "open({!r}, 'w').close()"),
    "open": (open, "{}", "w"),
    "Path": (Path, "{}"),
    "joblib.load": (joblib.load, "{}"),
    "memmap": (np.memmap, "{}", "u1", "w+", 0, (1,)),
    "getattr": (getattr, "x", "upper"),
    "DataFrame": (pd.DataFrame, [1]),
}


@pytest.mark.parametrize("format", ["joblib", "pickle"])
@pytest.mark.parametrize("place", ["bare", "in a model", "in an object array"])
@pytest.mark.parametrize("name", PAYLOADS)
def test_a_payload_is_refused_before_it_runs_listed_or_not(tmp_path, compare, mixed, name, place, format):
    marker = tmp_path / "marker"
    function, *arguments = PAYLOADS[name]
    payload = Calls(function, *(each.format(str(marker)) if isinstance(each, str) else each for each in arguments))
    array = np.empty(1, dtype=object)
    array[0] = payload
    value = {"bare": payload, "in a model": Pipeline([("a", payload)]), "in an object array": array}[place]
    file = compare.saved(value, format)
    honest = frozenset(compare.recorded(compare.saved(mixed, format), format).globals)
    with pytest.raises(RefusedGlobal):
        load(file, format, honest)
    with pytest.raises(RefusedGlobal):
        read_parts(file, format, honest)
    everything = honest | {f"{module} {each}" for module in MODULES for each in NAMES}
    with pytest.raises(NotSpecialised, match="neither scikit-learn's nor plain data"):
        read_parts(file, format, everything)
    assert not marker.exists()


MODULES = ("posix", "builtins", "io", "_io", "pathlib", "joblib.numpy_pickle", "numpy", "pandas", "pandas.core.frame")
NAMES = ("system", "exec", "eval", "open", "Path", "PosixPath", "load", "memmap", "getattr", "DataFrame")


def test_a_module_that_the_file_names_is_not_imported(tmp_path):
    (tmp_path / "planted.py").write_text("raise SystemExit('imported')")
    stream = b"\x80\x04\x8c\x07planted\x8c\x01X\x93."
    for allowed, error in ((frozenset(), RefusedGlobal), (frozenset({"planted X"}), NotSpecialised)):
        with pytest.MonkeyPatch.context() as patch, pytest.raises(error):
            patch.syspath_prepend(tmp_path)
            read_parts(stream, "pickle", allowed)
    stream = b"\x80\x04\x8c\x0fsklearn.nowhere\x8c\x01X\x93)\x81."
    assert read_parts(stream, "pickle", frozenset({"sklearn.nowhere X"})).cls == "sklearn.nowhere.X"


class Own(BaseEstimator):
    """A user's own estimator."""


@pytest.mark.parametrize("model", [Own(), LogisticRegression(class_weight=OrderedDict()), [1], {"a": 1}, None, 3.5])
def test_what_is_no_estimator_of_scikit_learns_is_no_part(compare, model):
    file = compare.saved(model)
    globals_ = frozenset(compare.recorded(file).globals)
    if isinstance(model, LogisticRegression):
        assert isinstance(read_parts(file, "joblib", globals_), Part)
        return
    with pytest.raises(NotSpecialised):
        read_parts(file, "joblib", globals_)


@pytest.mark.parametrize(
    ("stream", "says"),
    [
        (b"", "truncated or corrupt"),
        (pickle.dumps(1) + b"x", "goes on behind the end"),
        (b"\x80\x04\x8c\x07sklearn\x8c\x01X\x93)\x81}b}b.", "its state twice"),
        (b"\x80\x04\x8c\x07sklearn\x8c\x01X\x93)\x81}\x8c\x0b__getattr__K\x01sb.", "special attribute"),
        (b"\x80\x04\x8c\x07sklearn\x8c\x01X\x93}b.", "class or function"),
        (b"\x80\x04\x8c\x07sklearn\x8c\x01X\x93)}\x8c\x01aK\x01s\x92.", "corrupt"),
    ],
    ids=["empty", "trailing", "two states", "special", "class state", "keywords"],
)
def test_streams_that_no_honest_file_holds_are_refused(stream, says):
    with pytest.raises(UnpickleError, match=says):
        read_parts(stream, "pickle", frozenset({"sklearn X"}))


@pytest.mark.parametrize("filling", [b"]a", b"(]K\x01e", b"K\x01K\x02s", b"(K\x01K\x02u"])
def test_containers_of_scikit_learns_have_no_fast_form(filling):
    with pytest.raises(NotSpecialised, match="Bunch has no fast form"):
        stream = b"\x80\x04\x8c\x07sklearn\x8c\x05Bunch\x93)\x81" + filling + b"."
        read_parts(stream, "pickle", frozenset({"sklearn Bunch"}))


def test_flipped_and_cut_files_are_answered_or_raise_what_they_may(compare, data, mixed, show):
    X, _ = data.penguins
    columns, batch = list(compare.dtypes_of(X).items()), compare.as_batch(compare.sample(X, 2))
    chance, counts = random.Random(4), Counter()
    files = [(compare.saved(mixed, format), format) for format in ("joblib", "pickle")]
    allowed = frozenset(name for file, format in files for name in compare.recorded(file, format).globals)
    for _ in range(400):
        file, format = chance.choice(files)
        changed = bytearray(file)
        for _ in range(chance.choice([1, 2, 5])):
            changed[chance.randrange(len(changed))] = chance.randrange(256)
        if chance.random() < 0.1:
            del changed[chance.randrange(len(changed)) :]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                fast = specialise(
                    read_parts(bytes(changed), format, allowed), columns, ("Adelie", "Chinstrap", "Gentoo")
                )
                counts[type(fast.answer(batch)).__name__] += 1
            except (UnpickleError, NotSpecialised, NotAnswered) as error:
                counts[type(error).__name__] += 1
    show(f"damaged files: {dict(counts)}")
    assert counts["UnpickleError"] > 20
    assert counts["NotSpecialised"] > 2
    assert counts["Answer"] > 20


ALONE = """
import sys
from pathlib import Path
from modelimg_runtime.columns import Batch
from modelimg_runtime.fast import read_parts, specialise

file, names = Path(sys.argv[1]).read_bytes(), Path(sys.argv[2]).read_text().splitlines()
model = specialise(read_parts(file, "joblib", frozenset(names)), eval(sys.argv[3]), ("Adelie", "Chinstrap", "Gentoo"))
print(model.answer(Batch(("a",) * 8, eval(sys.argv[4]), 2)).predictions.tolist())
heavy = ("sklearn", "pandas", "scipy", "pandera", "threadpoolctl")
print(sorted(name for name in sys.modules if name.partition(".")[0] in heavy))
"""


def test_a_fresh_process_answers_without_scikit_learn_scipy_or_pandas(tmp_path, compare, data, mixed):
    X, _ = data.penguins
    file = compare.saved(mixed)
    (tmp_path / "model").write_bytes(file)
    (tmp_path / "names").write_text("\n".join(compare.recorded(file).globals))
    columns = compare.sample(X.dropna(), 2)
    arguments = [tmp_path / "model", tmp_path / "names", list(compare.dtypes_of(X).items()), tuple(columns.values())]
    done = subprocess.run(
        [sys.executable, "-c", ALONE, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=60
    )
    expected = compare.pair(mixed, X).expected(columns)["prediction"].tolist()
    assert (done.stdout.splitlines(), done.stderr) == ([str(expected), "[]"], "")
