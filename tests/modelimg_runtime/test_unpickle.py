"""The allow-listing unpickler: what is not listed never runs, and bad data raises nothing but UnpickleError."""

from __future__ import annotations

import io
import os
import pickle
import random
from collections import Counter
from functools import partial
from pathlib import Path

import joblib
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from modelimg_runtime.unpickle import FORMATS, RefusedGlobal, UnpickleError, load

RANDOM = np.random.RandomState(0)
X = RANDOM.rand(40, 3)
LABELS = np.array(["a", "b"], dtype=object)[(X[:, 0] > 0.5).astype(int)]


def everything(module, name):
    return True


def joblib_bytes(value, compress=0, protocol=None):
    buffer = io.BytesIO()
    joblib.dump(value, buffer, compress=compress, protocol=protocol)
    return buffer.getvalue()


def saved(value, format):
    return pickle.dumps(value) if format == "pickle" else joblib_bytes(value)


def models():
    return [
        RandomForestClassifier(3, max_depth=2, random_state=0).fit(X, LABELS),
        make_pipeline(StandardScaler(), LogisticRegression()).fit(X, LABELS),
        OneHotEncoder().fit(LABELS[:, None]),
        HistGradientBoostingRegressor(max_iter=2, max_depth=2).fit(X, X[:, 0]),
    ]


@pytest.fixture(scope="module")
def files():
    found = []
    for model in models():
        found += [(pickle.dumps(model, protocol), "pickle") for protocol in (0, 2, 4, 5)]
        found += [(joblib_bytes(model), "joblib"), (joblib_bytes(model, 3), "joblib")]
    return found


@pytest.fixture(scope="module")
def recorded(files):
    return frozenset(name for data, format in files for name in load(data, format, everything).globals)


@pytest.mark.parametrize("format", FORMATS)
def test_a_model_loads_and_what_it_refers_to_is_recorded_sorted(format):
    model = models()[0]
    loaded = load(saved(model, format), format, everything)
    assert (loaded.object.predict(X) == model.predict(X)).all()
    assert list(loaded.globals) == sorted(loaded.globals)
    assert {"sklearn.tree._tree Tree", "sklearn.ensemble._forest RandomForestClassifier"} <= set(loaded.globals)


@pytest.mark.parametrize("format", FORMATS)
def test_the_exact_record_of_a_file_is_enough_to_load_it_and_one_less_is_not(format):
    data = saved(models()[0], format)
    globals_ = load(data, format, everything).globals
    load(data, format, frozenset(globals_))
    for name in globals_:
        with pytest.raises(RefusedGlobal) as refused:
            load(data, format, frozenset(globals_) - {name})
        assert f"{refused.value.module} {refused.value.name}" == name


@pytest.mark.parametrize("compress", [0, 1, 9, ("zlib", 3), ("gzip", 3), ("bz2", 3), ("lzma", 3), ("xz", 3)])
def test_every_compression_of_joblib_is_read(compress):
    model = models()[1]
    assert (load(joblib_bytes(model, compress), "joblib", everything).object.predict(X) == model.predict(X)).all()


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    "kind",
    [
        "?",
        "i1",
        ">i4",
        "f4",
        ">f8",
        "c16",
        "U3",
        ">U3",
        "S3",
        "V5",
        "M8[ns]",
        "m8[3s]",
        ">M8[us]",
        [("a", "i4"), ("b", "f8")],
        [("n", [("a", "f8"), ("b", ">i2")]), ("c", "U2", (2,))],
    ],
    ids=str,
)
def test_arrays_of_every_dtype_come_back_as_the_standard_library_gives_them(protocol, kind):
    array = np.zeros((2, 2), dtype=kind)
    data = pickle.dumps([array.dtype, array, array.dtype], protocol)
    ours, theirs = load(data, "pickle", everything).object, pickle.loads(data)
    assert ours[0] == ours[2] == theirs[0]
    assert ours[1].dtype == theirs[1].dtype
    assert ours[1].tobytes() == theirs[1].tobytes()
    through_joblib = load(joblib_bytes([array.dtype, array], protocol=protocol), "joblib", everything).object
    assert through_joblib[0] == array.dtype
    assert (through_joblib[1] == array).all()


def test_an_aligned_structure_stays_aligned():
    dtype = np.dtype([("a", "i1"), ("b", "f8")], align=True)
    assert load(pickle.dumps(dtype), "pickle", everything).object.isalignedstruct


def test_names_of_python_2_are_checked_by_their_names_of_today():
    loaded = load(pickle.dumps({1, 2}, protocol=2), "pickle", frozenset({"builtins set"}))
    assert loaded.object == {1, 2}
    assert loaded.globals == ("builtins set",)


@pytest.mark.parametrize("format", FORMATS)
def test_what_stands_in_for_a_global_is_asked_for_after_the_list_and_before_an_import(format):
    asked = []

    class Stand:
        pass

    def stand_in(module, name):
        asked.append(f"{module} {name}")
        return Stand if module.startswith("sklearn") else None

    data = saved([StandardScaler(), np.arange(3)], format)
    globals_ = load(data, format, everything).globals
    first, second = load(data, format, frozenset(globals_), stand_in).object
    assert (type(first), first.with_mean, second.tolist()) == (Stand, True, [0, 1, 2])
    assert sorted(set(asked)) == list(globals_)
    asked.clear()
    with pytest.raises(RefusedGlobal):
        load(data, format, frozenset(), stand_in)
    assert asked == []
    with pytest.raises(UnpickleError) as refused:
        load(data, format, everything, lambda module, name: 1 / 0)
    assert isinstance(refused.value.__cause__, ZeroDivisionError)


# ---- what must not run ---------------------------------------------------------------------------------------


class Calls:
    """Pickles as a call of a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def payloads(marker: Path):
    text = f"open({str(marker)!r}, 'w').close()"
    return {
        "os.system": Calls(os.system, f"touch {marker}"),
        "exec": Calls(exec, text),
        "eval": Calls(eval, text),
        "open": Calls(open, str(marker), "w"),
        "partial": Calls(partial, os.system, f"touch {marker}"),
        "getattr": Calls(getattr, Path, "touch"),
        "pathlib": Calls(Path.touch, marker),
        "joblib.load": Calls(joblib.load, str(marker)),
        "numpy.load": Calls(np.load, str(marker)),
        "memmap": Calls(np.memmap, str(marker), "u1", "w+", 0, (1,)),
    }


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("name", payloads(Path("x")))
@pytest.mark.parametrize("place", ["bare", "in a model", "in an object array"])
def test_a_payload_is_refused_before_it_runs(tmp_path, recorded, format, name, place):
    marker = tmp_path / "marker"
    payload = payloads(marker)[name]
    if place == "in a model":
        payload = Pipeline([("a", payload)])
    elif place == "in an object array":
        holder = np.empty(1, dtype=object)
        holder[0] = payload
        payload = holder
    with pytest.raises(RefusedGlobal):
        load(saved(payload, format), format, recorded)
    assert not marker.exists()


def opcodes(*parts: bytes) -> bytes:
    return b"\x80\x04" + b"".join(parts) + b"."


def text(value: str) -> bytes:
    return b"\x8c" + bytes([len(value)]) + value.encode()


STACK_GLOBAL, TUPLE1, REDUCE, EMPTY_TUPLE, BUILD = b"\x93", b"\x85", b"R", b")", b"b"


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("os", "path.join"),
        ("sklearn.pipeline", "Pipeline.__init__.__globals__"),
        ("numpy", ""),
        ("numpy", "a b"),
        ("", "x"),
        ("numpy..core", "x"),
        ("numpy core", "x"),
    ],
)
def test_dotted_and_strange_names_are_refused_whatever_the_policy_says(module, name):
    with pytest.raises(RefusedGlobal):
        load(opcodes(text(module), text(name), STACK_GLOBAL), "pickle", everything)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(
    ("data", "says"),
    [
        (opcodes(text("x"), b"Q"), "persistent"),
        (pickle.dumps([1]) + b"x", "goes on behind the end"),
        (pickle.dumps([1]) + pickle.dumps([2]), "goes on behind the end"),
        (b"\x80\x04\x95\x04\x00\x00\x00\x00\x00\x00\x00K\x01.K", "goes on behind the end"),
        (b"", "truncated or corrupt"),
        (b"\x80\x04", "truncated or corrupt"),
        (pickle.dumps(list(range(999)))[:-5], "truncated or corrupt"),
        (opcodes(b"\x82\x01"), "truncated or corrupt"),
        (b"\x80\x09.", "truncated or corrupt"),
    ],
    ids=[
        "persistent id",
        "trailing byte",
        "second pickle",
        "rest of a frame",
        "empty",
        "header",
        "cut",
        "extension",
        "protocol",
    ],
)
def test_malformed_streams_are_refused_with_a_reason(format, data, says):
    with pytest.raises(UnpickleError, match=says):
        load(data, format, everything)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(
    ("data", "says"),
    [
        (opcodes(text("no_such_module_at_all"), text("X"), STACK_GLOBAL), "cannot be imported"),
        (opcodes(text("sklearn.pipeline"), text("NoSuchClass"), STACK_GLOBAL), "cannot be imported"),
        (
            opcodes(text("sklearn.pipeline"), text("Pipeline"), STACK_GLOBAL, b"N}", text("predict"), b"Ns\x86", BUILD),
            "class or function",
        ),
        (pickle.dumps(Calls(np.ndarray, (1,), np.dtype("O"), b"12345678")), "calls ndarray"),
        (pickle.dumps(Calls(np.asarray, [1])), "calls asarray"),
        (pickle.dumps(Calls(np.add, 1, 2)), "calls"),
    ],
    ids=["module", "name", "class state", "ndarray of pointers", "public function", "ufunc"],
)
def test_calls_and_states_that_no_honest_file_makes_are_refused(format, data, says):
    with pytest.raises(UnpickleError, match=says):
        load(data, format, everything)


class WithState:
    """Pickles as another object with a state of our choice."""

    def __init__(self, function, arguments, state):
        self.value = function, arguments, state

    def __reduce__(self):
        return self.value


@pytest.mark.parametrize(
    ("payload", "says"),
    [
        (WithState(np.dtype, ("u1",), (3, "|", None, None, None, -1, -1, 63)), "dtype"),
        (WithState(np.dtype, ("O",), (3, "|", None, None, None, -1, -1, 0)), "dtype"),
        (WithState(np.dtype, ("V8",), (3, "|", None, ("a",), {"a": (np.dtype("O"), 0)}, 8, 1, 0)), "dtype"),
        (WithState(np.dtype, ("f8",), "nonsense"), "dtype"),
        (WithState(StandardScaler, (), {"__array_interface__": {"data": (1, False)}}), "special attribute"),
    ],
    ids=["flags of pointers", "objects without flags", "structure without flags", "no tuple", "array interface"],
)
def test_states_that_would_turn_numbers_into_pointers_are_refused(payload, says):
    with pytest.raises(UnpickleError, match=says):
        load(pickle.dumps(payload), "pickle", everything)
    assert np.zeros(2, "u1").sum() == 0


def test_an_array_of_objects_with_too_short_a_list_is_refused():
    reconstruct = np.zeros(1).__reduce__()[0]
    payload = WithState(reconstruct, (np.ndarray, (0,), b"b"), (1, (99,), np.dtype("O"), False, ["a"]))
    with pytest.raises(UnpickleError, match="array of objects"):
        load(pickle.dumps(payload), "pickle", everything)


def test_an_array_that_is_in_use_is_not_refilled():
    payload = WithState(np.zeros(1).__reduce__()[0], (np.ndarray, (9,), b"b"), (1, (1,), np.dtype("u1"), False, b"x"))
    with pytest.raises(UnpickleError, match="array"):
        load(pickle.dumps(payload), "pickle", everything)


def test_joblib_place_holders_take_no_other_attributes_than_joblibs():
    from joblib.numpy_pickle import NumpyArrayWrapper

    wrapper = NumpyArrayWrapper(np.ndarray, (1,), "C", np.dtype("f8"))
    wrapper.read = print
    with pytest.raises(UnpickleError, match="description is not joblib's"):
        load(pickle.dumps(wrapper), "joblib", everything)


def test_files_of_joblib_before_0_10_are_refused_by_name():
    with pytest.raises(UnpickleError, match=r"joblib before 0\.10"):
        load(b"ZF0x10              rest", "joblib", everything)


def test_an_unknown_format_is_refused():
    with pytest.raises(UnpickleError, match="unknown format 'skops'"):
        load(b"", "skops", everything)


# ---- fuzzing -------------------------------------------------------------------------------------------------


def mutated(data: bytes, chance: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.choice([1, 1, 2, 5])):
        place, kind = chance.randrange(len(changed)), chance.random()
        if kind < 0.6:
            changed[place] = chance.randrange(256)
        elif kind < 0.8:
            del changed[place : place + chance.randrange(1, 20)]
        else:
            changed[place:place] = chance.randbytes(chance.randrange(1, 9))
    return bytes(changed)


def outcome(data: bytes, format: str, allowed) -> str:
    try:
        load(data, format, allowed)
    except RefusedGlobal:
        return "refused"
    except UnpickleError:
        return "error"
    return "loaded"


@pytest.mark.filterwarnings("ignore")
def test_flipped_and_cut_models_load_or_raise_unpickle_error_and_nothing_else(files, recorded, show):
    chance, counts = random.Random(20), Counter()
    for _ in range(2500):
        data, format = chance.choice(files)
        counts[outcome(mutated(data, chance), format, recorded)] += 1
    show(f"mutated models: {dict(counts)}")
    assert counts["error"] > 1000
    assert counts["loaded"] > 50
    assert counts["refused"] > 20


@pytest.mark.filterwarnings("ignore")
def test_payloads_spliced_into_mutated_models_never_run(tmp_path, files, recorded, show):
    marker, chance, counts = tmp_path / "marker", random.Random(21), Counter()
    spliced = [pickle.dumps(each, 2)[2:-1] for each in payloads(marker).values()]
    for _ in range(800):
        data, format = chance.choice(files)
        place = chance.randrange(len(data))
        changed = data[:place] + chance.choice(spliced) + data[place:]
        counts[outcome(changed, format, recorded)] += 1
    show(f"spliced payloads: {dict(counts)}")
    assert counts["refused"] > 20
    assert not marker.exists()


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=200), format=st.sampled_from(FORMATS), headed=st.booleans())
def test_any_bytes_load_or_raise_unpickle_error(recorded, data, format, headed):
    assert outcome(b"\x80\x04" + data if headed else data, format, recorded) in {"loaded", "refused", "error"}
