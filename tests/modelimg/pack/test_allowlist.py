"""The policy of packing: what honest models need is allowed, what reads, runs or looks up is not."""

from __future__ import annotations

import io
import pickle
import sys

import joblib
import pytest
from sklearn.utils import all_estimators

from modelimg.pack.allowlist import AllowList, enumerated_globals, top_level
from modelimg_runtime import unpickle

REFUSED = [
    "builtins eval",
    "builtins exec",
    "builtins getattr",
    "builtins open",
    "builtins __import__",
    "builtins type",
    "os system",
    "posix system",
    "nt system",
    "subprocess Popen",
    "importlib import_module",
    "pkgutil resolve_name",
    "operator attrgetter",
    "operator methodcaller",
    "functools reduce",
    "types CodeType",
    "runpy run_path",
    "sys modules",
    "joblib load",
    "joblib.numpy_pickle load",
    "joblib.numpy_pickle NDArrayWrapper",
    "joblib.numpy_pickle_compat ZNDArrayWrapper",
    "joblib.memory Memory",
    "joblib.externals.cloudpickle.cloudpickle _make_function",
    "numpy load",
    "numpy loadtxt",
    "numpy fromfile",
    "numpy save",
    "numpy memmap",
    "numpy.core._ufunc_reconstruct x",
    "numpy._core _ufunc_reconstruct",
    "numpy.core _ufunc_reconstruct",
    "numpy.testing._private.utils runstring",
    "numpy.testing runstring",
    "numpy.lib._npyio_impl load",
    "numpy.f2py.crackfortran myeval",
    "numpy.distutils.exec_command exec_command",
    "pandas read_pickle",
    "pandas read_csv",
    "pandas eval",
    "pandas.io.pickle read_pickle",
    "pandas.core.computation.eval eval",
    "scipy.io loadmat",
    "scipy.io.matlab loadmat",
    "scipy.stats._continuous_distns norm_gen",
    "scipy.stats._distn_infrastructure rv_frozen",
    "sklearn.datasets load_iris",
    "sklearn.datasets._base load_files",
    "sklearn.datasets._openml fetch_openml",
    "sklearn.utils._testing TempMemmap",
    "sklearn.utils.estimator_checks BaseBadClassifier",
    "sklearn.tests.test_base MyEstimator",
    "sklearn.externals._arff load",
    "sklearn.base clone",
    "sklearn.pipeline make_pipeline",
    "sklearn.ensemble RandomForestClassifier",
    "sklearn.pipeline os",
    "sklearnish.linear_model Ridge",
    "__main__ Thing",
    "no_such_package Thing",
]


@pytest.mark.parametrize("line", REFUSED)
def test_what_reads_runs_or_looks_up_is_refused(line):
    assert not AllowList()(*line.split(" "))


@pytest.mark.parametrize(
    "line",
    [
        "sklearn.ensemble._forest RandomForestClassifier",
        "sklearn.cluster._bisect_k_means BisectingKMeans",
        "sklearn.tree._tree Tree",
        "sklearn.gaussian_process.kernels Exponentiation",
        "sklearn.feature_selection._univariate_selection f_classif",
        "numpy log1p",
        "numpy sqrt",
        "scipy.special._ufuncs boxcox1p",
        "numpy.core.multiarray _reconstruct",
        "numpy._core.multiarray _reconstruct",
        "scipy.sparse._csr csr_matrix",
        "joblib.numpy_pickle NumpyArrayWrapper",
    ],
)
def test_what_honest_models_refer_to_is_allowed(line):
    assert AllowList()(*line.split(" "))


def test_no_enumerated_name_is_one_of_the_refused():
    assert enumerated_globals().isdisjoint(REFUSED)
    assert len(enumerated_globals()) > 400


@pytest.mark.filterwarnings("ignore:Class .* is deprecated:FutureWarning")
@pytest.mark.parametrize("format", unpickle.FORMATS)
def test_every_estimator_that_can_be_constructed_loads(format):
    loaded = 0
    for _, maker in all_estimators():
        try:
            estimator = maker()
        except TypeError:
            continue
        buffer = io.BytesIO()
        joblib.dump(estimator, buffer)
        data = pickle.dumps(estimator) if format == "pickle" else buffer.getvalue()
        assert type(unpickle.load(data, format, AllowList()).object) is maker
        loaded += 1
    assert loaded > 150


@pytest.fixture
def own_module(tmp_path, monkeypatch):
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "features.py").write_text(
        "from os import system\nfrom pathlib import Path\nclass Ratio: pass\nclass Other: pass\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "shop"
    for name in ("shop", "shop.features"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize("trust", ["shop", "shop.features", "shop.features.Ratio"])
def test_a_trusted_name_is_allowed_with_what_is_below_it(own_module, trust):
    assert AllowList(trust=(trust,))("shop.features", "Ratio")


def test_code_that_is_packed_is_trusted(own_module):
    assert AllowList(code=("shop",))("shop.features", "Ratio")


@pytest.mark.parametrize(
    ("trust", "module", "name"),
    [
        ("shop.features", "shop.features", "system"),
        ("shop.features", "shop.features", "Path"),
        ("shop.features", "shop.features", "Missing"),
        ("shop.features.Ratio", "shop.features", "Other"),
        ("shop.feat", "shop.features", "Ratio"),
        ("shop.missing", "shop.missing", "Ratio"),
        ("features", "shop.features", "Ratio"),
    ],
)
def test_trust_does_not_reach_further_than_its_name(own_module, trust, module, name):
    assert not AllowList(trust=(trust,))(module, name)


def test_top_level_modules_are_sorted_and_named_once():
    assert top_level(["b.c D", "a X", "b.e F"]) == ("a", "b")
