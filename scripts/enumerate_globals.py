"""Write builder/modelimg/pack/allowed_globals.txt: what files of scikit-learn models refer to.

Fits every estimator that scikit-learn can construct by itself, and some compositions, saves each in both formats with
several pickle protocols, and records the globals. What is found is added to what the file already lists, so that the
list serves several versions of scikit-learn and NumPy:

    uv run --with 'scikit-learn==1.3.2' --with 'numpy<2' --with 'pandas<3' python scripts/enumerate_globals.py
"""

from __future__ import annotations

import collections
import datetime as dt
import functools
import io
import pickle
import sys
import warnings
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import scipy.sparse
from sklearn import (
    calibration,
    compose,
    ensemble,
    feature_selection,
    gaussian_process,
    linear_model,
    metrics,
    model_selection,
    multiclass,
    multioutput,
    neighbors,
    pipeline,
    preprocessing,
    svm,
    tree,
)
from sklearn.metrics import pairwise
from sklearn.utils import all_estimators

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "builder"))

from modelimg_runtime import unpickle  # noqa: E402

TARGET = ROOT / "builder" / "modelimg" / "pack" / "allowed_globals.txt"

# Found in honest files, and yet never listed: they look up a name, open a file or run text that the file brings.
REFUSED_NAMES = {"_ufunc_reconstruct", "memmap", "Memory", "getattr", "eval", "exec"}
REFUSED_MODULES = ("scipy.stats.", "sklearn.datasets.", "sklearn.externals.", "pyarrow", "__main__")
PACKAGES = (
    "sklearn",
    "numpy",
    "scipy",
    "pandas",
    "joblib",
    "builtins",
    "collections",
    "copyreg",
    "_codecs",
    "datetime",
    "functools",
)

UNSUITABLE = (ValueError, TypeError, AttributeError, IndexError, NotImplementedError)
"""What estimators raise for data that they do not take."""

RANDOM = np.random.RandomState(0)
X = RANDOM.rand(60, 5) + 0.1
BINARY = np.arange(60) % 2
LABELS = np.array(["a", "b", "c"], dtype=object)[np.arange(60) % 3]
NUMBER = X @ np.arange(5) + 0.5
TABLE = pd.DataFrame({"c": pd.Categorical(["a", "b", "c"] * 20), "n": X[:, 0]})
INPUTS: list[tuple[Any, Any]] = [
    (X, BINARY),
    (X, LABELS),
    (X, NUMBER),
    (X, np.column_stack([NUMBER, NUMBER**2])),
    (X, np.column_stack([BINARY, 1 - BINARY])),
    (X[:, 0], NUMBER),
    (TABLE, BINARY),
    (TABLE, NUMBER),
    (LABELS, None),
    ([["a"], ["b"]], None),
    ([{"a": 1.0, "b": "x"}], None),
    (["some words", "more of words"], None),
]


def main() -> None:
    """Collect, merge, write."""
    warnings.simplefilter("ignore")
    before = TARGET.read_text().splitlines() if TARGET.exists() else []
    found = {line for line in before if line and not line.startswith("#")}
    # Lazily: an estimator is fitted again and again.
    for value in chain(plain_values(), fitted(), parameters()):
        for name in globals_of(value):
            if listed(*name.split(" ")):
                found.add(name)
    TARGET.write_text("# Written by scripts/enumerate_globals.py\n" + "".join(f"{name}\n" for name in sorted(found)))


def listed(module: str, name: str) -> bool:
    """Whether a found global may stand in the list."""
    return (
        module.split(".")[0] in PACKAGES
        and name not in REFUSED_NAMES
        and not module.startswith(REFUSED_MODULES)
        and not (module == "builtins" and not isinstance(getattr(__import__("builtins"), name), type))
    )


def globals_of(value: Any) -> set[str]:
    """The globals of a value's files in both formats."""
    names: set[str] = set()
    for protocol in (2, 4, 5):
        buffer = io.BytesIO()
        try:
            plain = pickle.dumps(value, protocol)
            joblib.dump(value, buffer, protocol=protocol)
            names |= set(unpickle.load(plain, "pickle", lambda *_: True).globals)
            names |= set(unpickle.load(buffer.getvalue(), "joblib", lambda *_: True).globals)
        except (pickle.PicklingError, TypeError, AttributeError, unpickle.UnpickleError) as error:
            print("skipped", repr(value)[:60], error, file=sys.stderr)  # noqa: T201 - a script
    return names


def fitted() -> Iterator[Any]:
    """Each estimator as it comes, and fitted on the first data that it takes."""
    estimators = [maker() for maker in default_constructible()] + list(compositions()) + list(variants())
    for estimator in estimators:
        yield estimator
        for features, target in INPUTS:
            try:
                estimator.fit(features) if target is None else estimator.fit(features, target)
            except UNSUITABLE:  # which data suits which estimator is found by trying
                continue
            yield estimator


def default_constructible() -> Iterator[Callable[[], Any]]:
    """Estimators whose constructor needs no argument, and those that need just another estimator."""
    for _, maker in all_estimators():
        for arguments in (
            (),
            (linear_model.LogisticRegression(),),
            (linear_model.Ridge(),),
            ([("a", tree.DecisionTreeRegressor())],),
        ):
            try:
                maker(*arguments)
            except TypeError:
                continue
            yield functools.partial(maker, *arguments)


def compositions() -> Iterator[Any]:
    """Pipelines, searches and the like."""
    yield pipeline.make_pipeline(preprocessing.StandardScaler(), linear_model.LogisticRegression())
    yield compose.make_column_transformer(
        (preprocessing.StandardScaler(), [0, 1]), (preprocessing.OneHotEncoder(), slice(2, 3))
    )
    yield pipeline.make_union(preprocessing.StandardScaler(), preprocessing.MinMaxScaler())
    yield model_selection.GridSearchCV(linear_model.Ridge(), {"alpha": [1.0, 2.0]}, scoring="r2")
    yield model_selection.RandomizedSearchCV(
        tree.DecisionTreeClassifier(), {"max_depth": [1, 2]}, n_iter=2, scoring="f1_macro"
    )
    yield calibration.CalibratedClassifierCV(svm.LinearSVC())
    yield ensemble.VotingClassifier([("a", linear_model.LogisticRegression()), ("b", tree.DecisionTreeClassifier())])
    yield ensemble.StackingRegressor([("a", linear_model.Ridge()), ("b", tree.DecisionTreeRegressor())])
    yield multiclass.OneVsOneClassifier(svm.SVC())
    yield multioutput.ClassifierChain(linear_model.LogisticRegression())
    yield compose.TransformedTargetRegressor(linear_model.Ridge(), func=np.log1p, inverse_func=np.expm1)
    yield preprocessing.FunctionTransformer(np.log1p)
    for maker in (ensemble.HistGradientBoostingClassifier, ensemble.HistGradientBoostingRegressor):
        yield maker(max_iter=2, categorical_features=[0])
        yield compose.make_column_transformer((preprocessing.OrdinalEncoder(), ["c"]), remainder="passthrough")


def variants() -> Iterator[Any]:
    """Parameters that bring other compiled classes into the file."""
    for loss in ("hinge", "log_loss", "modified_huber", "squared_hinge", "perceptron"):
        yield linear_model.SGDClassifier(loss=loss)
    for loss in ("squared_error", "huber", "epsilon_insensitive"):
        yield linear_model.SGDRegressor(loss=loss)
    for loss in ("squared_error", "absolute_error", "huber", "quantile"):
        yield ensemble.GradientBoostingRegressor(loss=loss, n_estimators=2)
    for loss in ("squared_error", "absolute_error", "poisson"):
        yield ensemble.HistGradientBoostingRegressor(loss=loss, max_iter=2)
    yield ensemble.HistGradientBoostingRegressor(loss="quantile", quantile=0.5, max_iter=2)
    yield ensemble.HistGradientBoostingRegressor(loss="gamma", max_iter=2)
    yield ensemble.GradientBoostingClassifier(loss="exponential", n_estimators=2)
    for algorithm in ("ball_tree", "kd_tree", "brute"):
        for metric in ("minkowski", "euclidean", "manhattan", "chebyshev"):
            yield neighbors.KNeighborsClassifier(algorithm=algorithm, metric=metric)
    yield neighbors.KNeighborsRegressor(algorithm="ball_tree", metric="haversine")
    yield from map(gaussian_process.GaussianProcessRegressor, kernels())


def kernels() -> Iterator[gaussian_process.kernels.Kernel]:
    """Those of Gaussian processes that need no argument, a sum and a product."""
    library = gaussian_process.kernels
    for maker in vars(library).values():
        if isinstance(maker, type) and issubclass(maker, library.Kernel):
            try:
                yield maker()
            except TypeError:
                continue
    yield library.RBF() + library.WhiteKernel()
    yield library.ConstantKernel() * library.RBF()


SCORES = (
    *("f_classif", "f_regression", "chi2", "mutual_info_classif", "mutual_info_regression"),
    *("r_regression", "f_oneway"),
)
SPLITTERS = (
    *("KFold", "StratifiedKFold", "GroupKFold", "ShuffleSplit", "StratifiedShuffleSplit", "GroupShuffleSplit"),
    *("TimeSeriesSplit", "RepeatedKFold", "RepeatedStratifiedKFold", "LeaveOneOut", "LeaveOneGroupOut"),
    "StratifiedGroupKFold",
)


def parameters() -> Iterator[Any]:
    """Functions and objects that estimators take as parameters."""
    yield from (getattr(feature_selection, name, None) for name in SCORES)
    yield from (metrics.get_scorer(name) for name in metrics.get_scorer_names())
    yield from (getattr(model_selection, name)() for name in SPLITTERS)
    yield model_selection.PredefinedSplit(BINARY)
    yield compose.make_column_selector(dtype_include=np.number)
    yield from pairwise.PAIRWISE_KERNEL_FUNCTIONS.values()
    yield from filter(callable, pairwise.PAIRWISE_DISTANCE_FUNCTIONS.values())


def plain_values() -> Iterator[Any]:
    """Standard values, arrays and frames that models keep."""
    yield from standard_values()
    yield from numpy_values()
    yield from random_generators()
    for kind in ("csr", "csc", "coo", "bsr", "dia", "dok", "lil"):
        for family in ("matrix", "array"):
            yield getattr(scipy.sparse, f"{kind}_{family}")(np.eye(3))
    yield from pandas_values()


def standard_values() -> Iterator[Any]:
    """What Python itself brings."""
    yield [int, float, bool, str, bytes, complex, object, list, dict, tuple, set, frozenset, slice, range]
    yield [slice(1, 2), range(3), 1j, {1}, frozenset({1}), bytearray(b"x"), b"x"]
    yield [collections.OrderedDict(), collections.defaultdict(int), collections.Counter(), collections.deque()]
    yield [dt.datetime(2020, 1, 1, tzinfo=dt.timezone.utc), dt.date(2020, 1, 1), dt.timedelta(1)]
    yield dt.datetime(2020, 1, 1)  # noqa: DTZ001 - a naive one, as users keep them


NUMPY_KINDS: tuple[Any, ...] = (
    *("?", "i1", "u2", "i4", "i8", "f2", "f4", "f8", "c16", "U3", "S3", "O", "M8[ns]", "m8[ns]"),
    [("a", "i4"), ("b", "f8")],
)
NUMPY_TYPES = (
    *("bool_", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float16", "float32", "float64", "complex64", "complex128", "str_", "bytes_", "object_"),
    *("number", "integer", "floating", "generic", "datetime64", "timedelta64", "ndarray"),
)


def numpy_values() -> Iterator[Any]:
    """Arrays, scalars and types of each kind."""
    for kind in NUMPY_KINDS:
        yield np.zeros((2, 2), dtype=kind)
        yield np.zeros((2, 2), dtype=kind, order="F")
        yield np.zeros(1, dtype=kind)[0]
        yield np.dtype(kind)
    yield [getattr(np, name) for name in NUMPY_TYPES]
    yield [np.nan, np.inf]
    yield np.ma.masked_array([1.0, 2.0], mask=[True, False])


def random_generators() -> Iterator[Any]:
    """NumPy's old generator, the new one, and its sources of bits."""
    yield [np.random.RandomState(0), np.random.default_rng(0), np.random.SeedSequence(1)]
    for maker in (np.random.Philox, np.random.SFC64, np.random.PCG64DXSM, np.random.MT19937):
        yield np.random.Generator(maker(1))


def pandas_values() -> Iterator[Any]:
    """Frames, series and indexes of each kind; strings in Python's storage, since the image has no pyarrow."""
    columns: dict[str, Any] = {
        "f": [1.0, 2.0],
        "i": [1, 2],
        "b": [True, False],
        "o": pd.Series(["a", "b"], dtype=object),
        "s": pd.array(["a", None], dtype=pd.StringDtype("python")),
        "c": pd.Categorical(["x", "y"]),
        "t": pd.to_datetime(["2020-01-01", "2020-01-02"]),
        "z": pd.to_datetime(["2020-01-01", "2020-01-02"], utc=True),
        "d": pd.to_timedelta([1, 2], unit="s"),
        "I": pd.array([1, None], dtype="Int64"),
        "F": pd.array([1.0, None], dtype="Float64"),
        "B": pd.array([True, None], dtype="boolean"),
        "p": pd.period_range("2020-01", periods=2, freq="M"),
        "v": pd.interval_range(0, 2),
    }
    for name, column in columns.items():
        index = pd.Index([name], dtype=object)
        yield pd.DataFrame({name: column}).set_axis(index, axis=1)
        yield pd.Series(column)
        yield pd.Index(column)
        yield pd.Series(column).dtype
    yield pd.MultiIndex.from_arrays([[1, 2], [3, 4]])
    yield [
        pd.Timestamp("2020-01-01"),
        pd.Timestamp("2020-01-01", tz="UTC"),
        pd.Timedelta(1),
        pd.NaT,
        pd.NA,
        pd.Interval(0, 1),
    ]


if __name__ == "__main__":
    main()
