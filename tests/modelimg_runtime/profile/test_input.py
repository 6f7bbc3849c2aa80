"""input_profile.json: it comes back as it was, adds up, and is refused where it cannot be."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from modelimg_runtime.profile import InputProfile, Plan, Survey

RANDOM = np.random.RandomState(0)
DATA = {"size": RANDOM.randn(400), "colour": RANDOM.choice(["a", "b"], 400)}
PLAN = Plan.of(Survey.of(DATA))


def part(start, stop, **changes):
    columns = PLAN.profiles(PLAN.count({name: values[start:stop] for name, values in DATA.items()}))
    return InputProfile(stop - start, columns, PLAN.settings, "0" * 64, "file", "1" * 64, **changes)


def test_it_comes_back_from_json_and_is_canonical():
    profile = part(0, 400)
    text = profile.to_json()
    assert InputProfile.from_json(text) == InputProfile.from_json(text.encode()) == profile
    document = json.loads(text)
    assert text == json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    assert document["dataset"] == {"sha256": "0" * 64, "kind": "file"}
    assert document["settings"] == {"min_max": False, "top": 50, "fold_below": 10}
    assert document["columns"][0]["n"] == document["rows"] == 400


def test_profiles_in_the_same_bins_add_up():
    whole, merged = part(0, 400), part(0, 150).merge(part(150, 400))
    for one, two in zip(merged.columns, whole.columns, strict=True):
        assert replace(one, mean=None, std=None) == replace(two, mean=None, std=None)
    assert merged.columns[0].mean == pytest.approx(whole.columns[0].mean, rel=1e-12)
    assert merged.columns[0].std == pytest.approx(whole.columns[0].std, rel=1e-12)
    assert (merged.rows, merged.dataset_sha256, merged.schema_sha256) == (400, "0" * 64, "1" * 64)


def test_digests_that_differ_are_gone_from_the_sum():
    merged = part(0, 10).merge(replace(part(10, 400), dataset_sha256="2" * 64, schema_sha256=None))
    assert (merged.dataset_sha256, merged.dataset_kind, merged.schema_sha256) == (None, None, None)


def test_profiles_in_other_bins_do_not_add_up():
    other = Plan.of(Survey.of({name: values[:200] for name, values in DATA.items()}))
    foreign = InputProfile(400, other.profiles(other.count(DATA)), other.settings)
    with pytest.raises(ValueError, match="'size' was counted in other bins"):
        part(0, 400).merge(foreign)
    with pytest.raises(ValueError, match="same columns"):
        part(0, 400).merge(replace(part(0, 400), columns=part(0, 400).columns[:1]))


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.update(format_version=2),
        lambda d: d.update(format_version=True),
        lambda d: d.pop("format_version"),
        lambda d: d.update(rows=399),
        lambda d: d.pop("settings"),
        lambda d: d["settings"].pop("top"),
        lambda d: d["settings"].update(fold_below=0),
        lambda d: d.update(columns=5),
        lambda d: d.update(columns=d["columns"] * 2),
        lambda d: d["columns"].append(5),
        lambda d: d["columns"][0].pop("name"),
        lambda d: d["columns"][0].update(kind="colour"),
        lambda d: d["columns"][0].update(kind="category"),
        lambda d: d["columns"][0].update(missing=1),
        lambda d: d["columns"][0].update(mean="high"),
        lambda d: d["columns"][0].update(mean=float("nan")),
        lambda d: d["columns"][0].update(quantiles=[1.0]),
        lambda d: d["columns"][0]["bins"].pop("counts"),
        lambda d: d["columns"][0]["bins"]["counts"].append(0),
        lambda d: d["columns"][0]["bins"]["counts"].__setitem__(0, -1),
        lambda d: d["columns"][0]["bins"]["counts"].__setitem__(0, 1.5),
        lambda d: d["columns"][0]["bins"]["edges"].reverse(),
    ],
)
def test_what_is_no_profile_is_refused(change):
    document = json.loads(part(0, 400).to_json())
    change(document)
    with pytest.raises(ValueError, match=r"."):
        InputProfile.from_json(json.dumps(document))


@pytest.mark.parametrize("text", ["", "[]", "{", "null", "5", '{"format_version": "1"}'])
def test_what_is_no_document_is_refused(text):
    with pytest.raises(ValueError, match=r"."):
        InputProfile.from_json(text)
