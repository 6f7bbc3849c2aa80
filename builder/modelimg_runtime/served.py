"""A model as it is served: the fast lane where it was found to be equal, in front of the path that decides."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelimg_runtime import contract
from modelimg_runtime.columns import Prediction
from modelimg_runtime.errors import PackageUnreadable
from modelimg_runtime.lane import FastLane, NoFastLane, open_lane, proof_of
from modelimg_runtime.package import Package, open_package

if TYPE_CHECKING:
    from modelimg_runtime.model import LoadedModel
    from modelimg_runtime.predict import Predictor

log = logging.getLogger(__name__)


class ServedModel:
    """See the module. Threads may share one.

    Args:
        package: verified.
        lane: None where there is none; the model is then loaded at once.
        most: how many violations of one request are named at most; the others are counted.
        compiled: whether, without a fast lane, the compiled contract may stand in front of pandera.

    Attributes:
        package: where it came from.
        examples: rows with the predictions that were made in training.
        lane: as given.
        reference: scikit-learn behind the compiled contract where there is no fast lane; None where there is one, or
            where the contract is not compiled.
    """

    def __init__(
        self, package: Package, lane: FastLane | None, most: int | None = None, *, compiled: bool = False
    ) -> None:
        self.package = package
        self._most = most
        try:
            self.examples = contract.Examples.from_json(package.read(contract.EXAMPLES))
        except ValueError as error:
            raise PackageUnreadable(str(error)) from error
        self.lane = lane
        self._lock = threading.Lock()
        self._loaded: tuple[LoadedModel, Predictor] | None = None
        self.reference: FastLane | None = None
        if lane is None:
            self._load()
            self.reference = self._reference() if compiled else None

    @property
    def model(self) -> LoadedModel:
        """The model itself with its schemas, loaded when it is first asked for: it takes pandas, pandera, scikit-learn.

        Raises:
            StartRefused: it may not be loaded.
        """
        return self._load()[0]

    @property
    def predictor(self) -> Predictor:
        """The path that decides, loaded as `model` is.

        Raises:
            StartRefused: the model may not be loaded.
        """
        return self._load()[1]

    @property
    def kinds(self) -> Mapping[str, str]:
        """Column → kind of its values: ``float``, ``int``, ``bool``, ``str``, or another that is sent as text."""
        if self.lane:
            return self.lane.kinds
        return self.predictor.kinds

    def predict_columns(
        self, columns: Mapping[str, Sequence[Any]], *, text: bool = False, scores: bool = False
    ) -> Prediction:
        """Predict from columns of JSON values, or of CSV fields where ``text``; with decision scores where asked for.

        Raises:
            PayloadError: the columns are not sequences of one length, or the model gives no decision scores.
            InputRejected: the input breaks the contract, with every failing cell.
            OutputRejected: the answer would break the contract.
        """
        lane = self.lane or (None if scores else self.reference)  # which has no scores
        quick = lane.predict_columns(columns, text=text, scores=scores) if lane else None
        return quick or self.predictor.predict_columns(columns, text=text, scores=scores)

    def quick(
        self, columns: Mapping[str, Sequence[Any]], *, text: bool = False, scores: bool = False
    ) -> Prediction | None:
        """The same by the fast lane alone; None where the other path is to decide."""
        return self.lane.predict_columns(columns, text=text, scores=scores) if self.lane else None

    def may_merge(self, tolerance: float) -> bool:
        """Whether requests may be predicted together.

        Args:
            tolerance: by how much a number of an answer may change; 0 where no bit may.
        """
        try:
            proof = proof_of(self.package)
        except NoFastLane:
            return False
        lane = self.lane or self.reference
        if proof.batches_equal and lane is not None and lane.rows_apart:
            return True
        return proof.batch_difference is not None and 0 < tolerance >= proof.batch_difference

    def _reference(self) -> FastLane | None:
        from modelimg_runtime.reference import reference_lane

        try:
            return reference_lane(self.model)
        except NoFastLane as error:
            log.info("pandera validates each request: %s", error)
            return None

    def _load(self) -> tuple[LoadedModel, Predictor]:
        with self._lock:
            if self._loaded is None:
                from modelimg_runtime.model import load_model

                loaded = load_model(self.package.folder)
                self._loaded = loaded, loaded.predictor(self._most)
            return self._loaded


def open_served(folder: Path, *, fast_path: bool, most: int | None = None) -> ServedModel:
    """A package's model, every digest checked.

    Args:
        folder: the package.
        fast_path: whether the fast lane may be used.
        most: how many violations of one request are named at most; all where None.

    Raises:
        StartRefused: as `model.load_model`.
    """
    package = open_package(folder)
    package.verify()
    try:
        lane = open_lane(package) if fast_path else None
    except NoFastLane as error:
        log.info("scikit-learn predicts: %s", error)
        lane = None
    return ServedModel(package, lane, most, compiled=fast_path)
