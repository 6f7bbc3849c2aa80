"""Splits: from memory and from files, in the model's order, refused where they do not fit."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import scipy.sparse

from modelimg.errors import DataError, UsageError
from modelimg.pack.data import DataFile, Reader, read_splits, reader_for


def reader(root, *, features=("a", "b"), target=None):
    return Reader(features, None if features is None else len(features), target, root)


FRAME = pd.DataFrame({"a": [1, 2, 3], "b": ["x", "y", None], "label": ["p", "q", "p"]})


@pytest.fixture
def folder(tmp_path):
    FRAME.to_csv(tmp_path / "d.csv", index=False)
    FRAME.to_csv(tmp_path / "d.tsv", index=False, sep="\t")
    FRAME.to_csv(tmp_path / "d.csv.gz", index=False)
    FRAME.to_parquet(tmp_path / "d.parquet")
    return tmp_path


@pytest.mark.parametrize("name", ["d.csv", "d.tsv", "d.csv.gz", "d.parquet"])
def test_a_file_is_read_and_identified_by_its_bytes(folder, name):
    split = reader(folder).read("test", DataFile(name, uri="s3://bucket/d"))
    assert list(split.X.columns) == ["a", "b"]
    assert split.y["label"].tolist() == ["p", "q", "p"]
    assert split.facts.sha256 == hashlib.sha256((folder / name).read_bytes()).hexdigest()
    facts = split.facts
    assert (facts.kind, facts.rows, facts.columns, facts.uri) == ("file", 3, 3, "s3://bucket/d")


def test_the_target_is_the_one_column_that_is_no_feature(folder):
    assert list(reader(folder).read("train", folder / "d.csv").y.columns) == ["label"]


def test_a_named_target_leaves_further_columns_out(folder):
    FRAME.assign(id=[7, 8, 9]).to_csv(folder / "e.csv", index=False)
    split = reader(folder, target="label").read("train", "e.csv")
    assert list(split.X.columns) == ["a", "b"]
    assert split.facts.columns == 4


def test_features_come_in_the_models_order(folder):
    assert list(reader(folder, features=("b", "a")).read("train", "d.csv").X.columns) == ["b", "a"]


@pytest.mark.parametrize(
    ("value", "options", "says", "hint"),
    [
        ("nowhere.csv", {}, r"nowhere\.csv does not exist", None),
        ("d.csv", {"target": "species"}, "no target column 'species'", "a, b, label"),
        ("d.csv", {"features": ("a", "b", "label")}, "no column beside the model's features", "a, b, label"),
        ("d.csv", {"features": ("a",)}, r"2 columns \(b, label\) beside", r"\[data\] target"),
        ("d.csv", {"features": None}, "fitted without column names", "a, b, label"),
        ("d.csv", {"features": ("a", "b", "c"), "target": "label"}, "lacks the column 'c'", None),
        ("broken.csv", {}, "cannot be read as CSV", None),
        ("latin.csv", {}, "cannot be read as CSV", None),
        ("empty.csv", {}, "cannot be read as CSV", None),
        ("header.csv", {}, "has no rows", None),
        ("broken.parquet", {}, "cannot be read as Parquet", None),
        ("d.xlsx", {}, "of no known kind", ".parquet"),
    ],
)
def test_a_bad_file_is_refused_with_a_reason(folder, value, options, says, hint):
    (folder / "broken.csv").write_text("a,b,label\n1,2,3\n4,5,6,7,8\n")
    (folder / "latin.csv").write_bytes("a,b,label\n1,ü,3\n".encode("latin-1"))
    (folder / "empty.csv").write_bytes(b"")
    (folder / "header.csv").write_text("a,b,label\n")
    (folder / "broken.parquet").write_bytes(b"PAR1 no")
    (folder / "d.xlsx").write_bytes(b"x")
    with pytest.raises(DataError, match=says) as error:
        reader(folder, **options).read("train", value)
    if hint:
        assert hint.replace("\\", "") in str(error.value.hint)


def test_parquet_without_pyarrow_says_what_to_install(folder):
    check = (
        "import sys; sys.modules['pyarrow'] = sys.modules['fastparquet'] = None\n"
        "from pathlib import Path\nfrom modelimg.pack.data import Reader\nfrom modelimg.errors import DataError\n"
        "try: Reader(('a', 'b'), 2, None, Path()).read('train', sys.argv[1])\n"
        "except DataError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", check, str(folder / "d.parquet")], capture_output=True, text=True, check=True
    )
    assert "needs pyarrow" in done.stdout
    assert "pip install modelimg[parquet]" in done.stdout


def test_a_frame_from_memory_has_the_canonical_digest_of_features_and_target(tmp_path):
    one = reader(tmp_path).read("train", (FRAME[["b", "a"]], FRAME["label"]))
    other = reader(tmp_path).read("train", (FRAME[["a", "b"]].set_axis([5, 6, 7]), FRAME["label"]))
    assert one.facts == other.facts
    assert (one.facts.kind, one.facts.rows, one.facts.columns) == ("frame-v1", 3, 3)


@pytest.mark.parametrize(("features", "named"), [(None, ["x0", "x1"]), (("p", "q"), ["p", "q"])])
def test_an_array_gets_the_models_names_or_numbered_ones(tmp_path, features, named):
    split = reader(tmp_path, features=features).read("train", (np.array([[1, "a"], [2, "b"]], dtype=object), [0, 1]))
    assert list(split.X.columns) == named
    assert split.X.iloc[:, 0].dtype == "int64"
    assert list(split.y.columns) == ["target"]


def test_columns_that_are_no_strings_are_numbered(tmp_path):
    split = reader(tmp_path, features=None).read("train", (pd.DataFrame(np.eye(2)), [0, 1]))
    assert list(split.X.columns) == ["x0", "x1"]


def test_many_outputs_and_no_target_are_kept_as_they_are(tmp_path):
    X = FRAME[["a", "b"]]
    assert reader(tmp_path).read("train", (X, np.eye(3))).y.shape == (3, 3)
    assert reader(tmp_path).read("train", (X, FRAME[["a", "label"]])).y.shape == (3, 2)
    assert reader(tmp_path).read("train", (X, None)).y is None


@pytest.mark.parametrize(
    ("X", "y", "says"),
    [
        (FRAME[["a", "b"]], [1, 2], "3 rows of X and 2 of y"),
        (FRAME[["a"]], [1, 2, 3], "lacks the column 'b'"),
        (FRAME, [1, 2, 3], "has the column 'label', which the model was not fitted on"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), [1], "two columns named 'a'"),
        (["a", "b"], [1, 2], "1 dimension"),
        (np.zeros((2, 2, 2)), [1, 2], "3 dimension"),
        (np.zeros((2, 3)), [1, 2], "lacks the columns 'a', 'b'"),
        (scipy.sparse.eye(3).tocsr(), [1, 2, 3], "is sparse"),
        (FRAME[["a", "b"]], np.zeros((3, 1, 1)), "y of the split train has 3 dimensions"),
    ],
)
def test_tables_that_do_not_fit_are_refused(tmp_path, X, y, says):
    with pytest.raises(DataError, match=says):
        reader(tmp_path).read("train", (X, y))


@pytest.mark.parametrize("value", [(1, 2, 3), [1], 5, None])
def test_a_split_that_is_neither_a_pair_nor_a_path_is_refused(tmp_path, value):
    with pytest.raises(UsageError, match=r"takes \(X, y\) or a path"):
        reader(tmp_path).read("train", value)


@pytest.mark.parametrize("name", ["", "a b", "a.b", "trän"])
def test_a_name_that_no_label_can_hold_is_refused(tmp_path, name):
    with pytest.raises(UsageError, match="cannot name a split"):
        reader(tmp_path).read(name, (FRAME[["a", "b"]], None))


def test_splits_must_agree_in_their_columns_and_have_rows(tmp_path):
    free = Reader(None, None, None, tmp_path)
    with pytest.raises(DataError, match="different columns"):
        read_splits(free, {"train": (FRAME[["a"]], None), "test": (FRAME[["b"]], None)})
    with pytest.raises(DataError, match="has no rows"):
        read_splits(free, {"train": (FRAME[["a"]], None), "test": (FRAME[["a"]][:0], None)})


def test_the_number_of_features_counts_where_the_model_has_no_names(tmp_path):
    with pytest.raises(DataError, match="has 3 features, and the model was fitted on 2"):
        Reader(None, 2, None, tmp_path).read("train", (np.zeros((4, 3)), None))


def test_a_reader_asks_the_estimator_for_its_features(classifier, tmp_path):
    assert reader_for(classifier, "kind", tmp_path).features == ("size", "count", "colour")
