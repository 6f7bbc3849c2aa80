"""Dummy estimators, which look at nothing themselves; the steps before them may still refuse a batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from modelimg_runtime.columns import Answer, Batch
from modelimg_runtime.fast.errors import NotSpecialised
from modelimg_runtime.fast.inputs import Table, Value
from modelimg_runtime.fast.linear import Reply, class_labels
from modelimg_runtime.fast.parts import Part


def dummy_classifier(part: Part, value: Value, classes: Sequence[Any]) -> Reply:
    """``DummyClassifier`` with ``prior`` or ``most_frequent``; the other strategies draw or take a constant."""
    part.check_plain()
    part.expect("_strategy", "prior", "most_frequent")
    labels, prior = class_labels(part, classes), part.array("class_prior_")
    if part["sparse_output_"]:
        raise NotSpecialised(f"{part.name} with a sparse output")
    best = int(prior.argmax())
    label = np.ravel(np.tile([labels[best]], [1, 1]))  # scikit-learn's own way to the dtype
    row = np.where(np.arange(len(labels)) == best, 1.0, 0.0) if part["_strategy"] == "most_frequent" else prior * 1.0
    return _after(value, lambda rows: Answer(label.repeat(rows), np.tile(row, (rows, 1)) if classes else None))


def dummy_regressor(part: Part, value: Value, _classes: Sequence[Any]) -> Reply:
    """``DummyRegressor`` of one output."""
    part.check_plain()
    constant = np.asarray(part["constant_"])
    if constant.size != 1 or constant.dtype.hasobject:
        raise NotSpecialised(f"{part.name} with several outputs")
    return _after(value, lambda rows: Answer(np.full(rows, constant.item(), dtype=constant.dtype), None))


def _after(value: Value, answer: Callable[[int], Answer]) -> Reply:
    """Run the steps before, then answer for as many rows."""
    if isinstance(value, Table):
        return lambda batch: answer(batch.rows)
    read = value.read

    def reply(batch: Batch) -> Answer:
        read(batch)
        return answer(batch.rows)

    return reply
