from __future__ import annotations

import hashlib
import io
import os
import pickle
import warnings

import joblib
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelimg_runtime import contract
from modelimg_runtime.errors import ContractUnusable, ModelRefused, PackageUnreadable
from modelimg_runtime.model import load_model


class Payload:
    """Writes a marker when it is unpickled: what must never happen."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


def replace_model(made, data, tools, globals_=None):
    """Put another model file into the package, with its digest and, if given, its globals."""
    tools.repack(made, "model.joblib", data)

    def change(manifest):
        manifest["model"]["sha256"] = hashlib.sha256(data).hexdigest()
        manifest["model"]["globals"] = globals_ or manifest["model"]["globals"]

    tools.edit_manifest(made.folder, change)


def test_a_packed_model_is_loaded_with_its_contract_and_examples(cancer):
    model = load_model(cancer.folder)
    assert type(model.estimator).__name__ == "Pipeline"
    assert len(model.input_schema.columns) == 30
    assert len(model.examples.rows) == 5
    assert model.manifest.name == "demo"


def test_another_file_under_the_models_name_is_refused_before_it_is_unpickled(fresh_cancer, tmp_path):
    marker = tmp_path / "marker"
    joblib.dump(Payload(marker), fresh_cancer.folder / "model.joblib")
    with pytest.raises(ModelRefused, match=r"model\.joblib has sha256 [0-9a-f]{64}, and was packed as [0-9a-f]{64}"):
        load_model(fresh_cancer.folder)
    assert not marker.exists()


@given(data=st.data())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_one_flipped_bit_anywhere_in_the_model_refuses_to_load(fresh_cancer, data):
    original = fresh_cancer.files["model.joblib"]
    position = data.draw(st.integers(0, len(original) * 8 - 1))
    flipped = bytearray(original)
    flipped[position // 8] ^= 1 << position % 8
    (fresh_cancer.folder / "model.joblib").write_bytes(flipped)
    with pytest.raises(ModelRefused, match="sha256"):
        load_model(fresh_cancer.folder)


@pytest.mark.parametrize("listed", [False, True])
def test_the_two_digests_of_the_model_must_both_be_its_own(fresh_cancer, tools, listed):
    def change(manifest):
        if listed:
            manifest["files"]["model.joblib"] = "0" * 64
        else:
            manifest["model"]["sha256"] = "0" * 64

    tools.edit_manifest(fresh_cancer.folder, change)
    with pytest.raises(ModelRefused, match="0000"):
        load_model(fresh_cancer.folder)


def test_a_global_that_was_not_recorded_is_refused_and_does_not_run(fresh_cancer, tmp_path, tools):
    marker = tmp_path / "marker"
    buffer = io.BytesIO()
    joblib.dump(Payload(marker), buffer)
    replace_model(fresh_cancer, buffer.getvalue(), tools)
    with pytest.raises(ModelRefused, match="system is not on the list"):
        load_model(fresh_cancer.folder)
    assert not marker.exists()


@pytest.mark.parametrize("data", [b"", b"not a pickle", pickle.dumps([1])[:-3], b"\x80\x04."])
def test_a_file_that_is_no_model_is_refused(fresh_cancer, tools, data):
    replace_model(fresh_cancer, data, tools)
    with pytest.raises(ModelRefused, match=r"model\.joblib may not be loaded"):
        load_model(fresh_cancer.folder)


def test_a_class_that_is_not_installed_is_named(fresh_cancer, tools):
    data = b"\x80\x04cno_such_package\nModel\n."
    replace_model(fresh_cancer, data, tools, ["no_such_package Model"])
    with pytest.raises(ModelRefused, match="no_such_package"):
        load_model(fresh_cancer.folder)


def test_another_version_of_scikit_learn_is_refused_with_both_versions(fresh_cancer, tools):
    import sklearn

    other = sklearn.__version__.encode()
    older = b"0" + other[1:]
    data = fresh_cancer.files["model.joblib"].replace(other, older)
    assert data != fresh_cancer.files["model.joblib"]
    replace_model(fresh_cancer, data, tools)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as a user's PYTHONWARNINGS may
        with pytest.raises(ModelRefused) as refused:
            load_model(fresh_cancer.folder)
    assert f"fitted by scikit-learn {older.decode()}" in str(refused.value)
    assert f"here is scikit-learn {other.decode()}" in str(refused.value)


@pytest.mark.parametrize(
    "name",
    [contract.INPUT_SCHEMA, contract.OUTPUT_SCHEMA, contract.EXAMPLES, contract.PROVENANCE, contract.TRAINING_LOCK],
)
@pytest.mark.parametrize("how", ["changed", "missing"])
def test_any_other_file_that_was_changed_or_lost_is_refused_by_name(fresh_cancer, name, how):
    path = fresh_cancer.folder / name
    path.write_bytes(path.read_bytes() + b" ") if how == "changed" else path.unlink()
    with pytest.raises(PackageUnreadable, match=name.replace(".", r"\.")):
        load_model(fresh_cancer.folder)


@pytest.mark.parametrize("side", ["input", "output"])
def test_a_package_without_a_contract_is_refused(fresh_cancer, tools, side):
    tools.edit_manifest(fresh_cancer.folder, lambda manifest: manifest["schemas"].pop(side))
    with pytest.raises(ContractUnusable, match=f"no {side} schema"):
        load_model(fresh_cancer.folder)


def test_a_contract_that_the_manifest_does_not_list_is_refused_and_does_not_run(fresh_cancer, tmp_path, tools):
    marker = tmp_path / "marker"
    (fresh_cancer.folder / "other.py").write_text(f"open({str(marker)!r}, 'w')")
    tools.edit_manifest(fresh_cancer.folder, lambda manifest: manifest["schemas"].update(input="other.py:Input"))
    with pytest.raises(ContractUnusable):
        load_model(fresh_cancer.folder)
    assert not marker.exists()


def test_examples_that_lack_a_field_are_refused(fresh_cancer, tools):
    tools.repack(fresh_cancer, contract.EXAMPLES, b'{"rows": []}')
    with pytest.raises(PackageUnreadable, match=r"examples\.json"):
        load_model(fresh_cancer.folder)
