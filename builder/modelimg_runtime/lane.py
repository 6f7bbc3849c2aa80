"""The fast lane: the contract's compiled test, then the specialised model, then the compiled test of the answer.

It answers as the path of `predict` would, to the last bit, or not at all; and it imports neither pandas, pandera nor
scikit-learn, which take longer to import than all else that a container does until its first prediction.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any, Protocol

import numpy as np

from modelimg_runtime import contract, unpickle
from modelimg_runtime.accept import InputTest, OutputTest
from modelimg_runtime.accept.output import RowTest
from modelimg_runtime.accept.rules import NotCompiled, TableRules, rules_of
from modelimg_runtime.columns import Answer, Batch, Prediction
from modelimg_runtime.fast import NotAnswered, NotSpecialised, read_parts, specialise
from modelimg_runtime.package import Package
from modelimg_runtime.texts import values_of


class NoFastLane(Exception):  # noqa: N818 - it says what is the case
    """There is none for this model; the message says what is in the way, in one sentence without a full stop."""


class Answering(Protocol):
    """A model that is asked about accepted rows; see ``fast.FastModel``."""

    rows_apart: bool

    def answer(self, batch: Batch) -> Answer:
        """The answer, or ``NotAnswered``."""


class FastLane:
    """See the module. Holds no state between calls, so threads may share one.

    Args:
        model: gives the answers.
        rules: of the input.
        answer_rules: of the output.
        classes: the classifier's classes, in the order of its probabilities.

    Attributes:
        kinds: column → kind of its values.
        rows_apart: no answer depends on the rows beside it, as is known from how it is calculated.
    """

    def __init__(self, model: Answering, rules: TableRules, answer_rules: TableRules, classes: Sequence[Any]) -> None:
        self._model, self._classes = model, tuple(classes)
        self.rows_apart = model.rows_apart
        self._input, self._output = InputTest(rules), OutputTest(answer_rules)
        self._singles: dict[tuple[Any, ...], RowTest | None] = {}
        """Types of an answer → the test of one row of such."""
        self.kinds = {column.name: column.kind for column in rules.columns}

    def predict_columns(
        self, columns: Mapping[str, Sequence[Any]], *, text: bool = False, scores: bool = False
    ) -> Prediction | None:
        """Predict from columns of JSON values, or of CSV fields where ``text``; with decision scores where asked for.

        Returns:
            None where the other path is to decide: the input or the answer is not accepted here.
        """
        batch = self.accept(columns, text=text)
        return None if batch is None else self.alone(batch, scores=scores)

    def accept(self, columns: Mapping[str, Sequence[Any]], *, text: bool = False) -> Batch | None:
        """The rows of a request, None where the input contract is not known to accept them."""
        return self._input.columns(self._from_text(columns) if text else columns)

    def accept_row(self, record: Mapping[str, Any]) -> Batch | None:
        """The only row of a request, an object of JSON values; None where the contract is not known to accept it."""
        return self._input.row(record)

    def alone(self, batch: Batch, *, scores: bool = False) -> Prediction | None:
        """The answer to accepted rows, None where the other path is to give it."""
        try:
            answer = self._model.answer(batch)
        except NotAnswered:
            return None
        predictions: list[Any] = answer.predictions.tolist()
        probabilities = None if answer.probabilities is None else answer.probabilities.tolist()
        accepts = self._single(answer) if batch.rows == 1 else None
        if not (self._accepts(answer) if accepts is None else accepts([*predictions, *(probabilities or [()])[0]])):
            return None
        if not scores:
            return Prediction(predictions, probabilities, None, batch, answer)
        if answer.scores is None or not np.isfinite(answer.scores).all():
            return None
        return Prediction(predictions, probabilities, answer.scores.tolist(), batch, answer)

    def answer(self, columns: Mapping[str, Sequence[Any]]) -> Answer | None:
        """The same, from JSON values, as arrays."""
        batch = self.accept(columns)
        if batch is None:
            return None
        try:
            answer = self._model.answer(batch)
        except NotAnswered:
            return None
        return answer if self._accepts(answer) else None

    def _accepts(self, answer: Answer) -> bool:
        outputs = output_columns(answer, self._classes)
        # JSON has no infinity and no NaN: what becomes of them is not for this lane to say.
        finite = all(np.isfinite(each).all() for each in outputs.values() if each.dtype.kind == "f")
        return finite and self._output.accepts(outputs)

    def _single(self, answer: Answer) -> RowTest | None:
        """The test of an answer of one row, of which the types are known."""
        given, likely = answer.predictions, answer.probabilities
        if type(given) is not np.ndarray or given.ndim != 1 or not (likely is None or type(likely) is np.ndarray):
            return None
        types = (given.dtype, None if likely is None else (likely.dtype, likely.shape[1:]))
        if types not in self._singles:
            columns = output_columns(answer, self._classes)
            self._singles[types] = self._output.single([*columns], [each.dtype for each in columns.values()])
        return self._singles[types]

    def _from_text(self, columns: Mapping[str, Sequence[str]]) -> dict[str, list[Any]]:
        kinds = self.kinds
        return {name: values_of(kinds.get(name, ""), texts) for name, texts in columns.items()}


def output_columns(answer: Answer, classes: Sequence[Any]) -> Mapping[str, np.ndarray[Any, Any]]:
    """The columns of the frame that `predict.output_frame` makes of the same answer."""
    return answer.columns(classes, contract.PREDICTION, contract.PROBABILITY_PREFIX)


def make_lane(data: bytes, model: contract.ModelFile, schemas: Mapping[str, bytes], classes: Sequence[Any]) -> FastLane:
    """The fast lane of a model, whether or not it answers as it should.

    Args:
        data: the model file's bytes, whose digest was checked.
        model: what the manifest says of it.
        schemas: side → serialised schema, ``input`` and ``output``.
        classes: the classifier's classes, in the order of its probabilities.

    Raises:
        NoFastLane: the model or a schema is of a kind that has none, or another scikit-learn is installed.
    """
    try:
        rules, answer_rules = (rules_of(json.loads(schemas[side])) for side in ("input", "output"))
        fast = specialise(
            read_parts(data, model.format, frozenset(model.globals)),
            [(column.name, column.dtype) for column in rules.columns],
            classes,
        )
    except (NotCompiled, NotSpecialised, unpickle.UnpickleError, ValueError) as error:
        raise NoFastLane(str(error)) from error
    try:
        installed = metadata.version("scikit-learn")
    except metadata.PackageNotFoundError as error:
        raise NoFastLane("scikit-learn is not installed here") from error
    if fast.version != installed:
        raise NoFastLane(f"the model is of scikit-learn {fast.version}, and here is {installed}")
    return FastLane(fast, rules, answer_rules, classes)


def open_lane(package: Package) -> FastLane:
    """The fast lane of a package whose packing found it to be equal.

    Raises:
        NoFastLane: it was not found to be equal, or cannot be used here.
        PackageUnreadable: a file is missing or was changed.
        ModelRefused: the model's file is not the packed one.
    """
    manifest, proof = package.manifest, proof_of(package)
    if not proof.equal:
        raise NoFastLane(proof.reason or "packing did not find it equal")
    schemas = packed_schemas(package)
    return make_lane(package.read(manifest.model.file), manifest.model, schemas, manifest.classes)


def proof_of(package: Package) -> contract.FastPath:
    """What packing found out.

    Raises:
        NoFastLane: the package does not say.
        PackageUnreadable: a file is missing or was changed.
    """
    if contract.FAST_PATH not in package.manifest.files:
        raise NoFastLane(f"the package has no {contract.FAST_PATH}")
    try:
        return contract.FastPath.from_json(package.read(contract.FAST_PATH))
    except ValueError as error:
        raise NoFastLane(str(error)) from error


def packed_schemas(package: Package) -> dict[str, bytes]:
    """Side → serialised schema, ``input`` and ``output``.

    Raises:
        NoFastLane: one is code.
        PackageUnreadable: a file is missing or was changed.
    """
    manifest = package.manifest
    references = {side: manifest.schemas.get(side, "") for side in ("input", "output")}
    if any(":" in reference or reference not in manifest.files for reference in references.values()):
        raise NoFastLane("a schema is code")
    return {side: package.read(reference) for side, reference in references.items()}
