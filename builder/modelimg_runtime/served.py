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
from modelimg_runtime.lane import FastLane, NoFastLane, open_lane
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

    Attributes:
        package: where it came from.
        examples: rows with the predictions that were made in training.
    """

    def __init__(self, package: Package, lane: FastLane | None) -> None:
        self.package = package
        try:
            self.examples = contract.Examples.from_json(package.read(contract.EXAMPLES))
        except ValueError as error:
            raise PackageUnreadable(str(error)) from error
        self.lane = lane
        self._lock = threading.Lock()
        self._loaded: tuple[LoadedModel, Predictor] | None = None
        if lane is None:
            self._load()

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

    def predict_columns(self, columns: Mapping[str, Sequence[Any]], *, text: bool = False) -> Prediction:
        """Predict from columns of JSON values, or of CSV fields where ``text``.

        Raises:
            PayloadError: the columns are not sequences of one length.
            InputRejected: the input breaks the contract, with every failing cell.
            OutputRejected: the answer would break the contract.
        """
        return self.quick(columns, text=text) or self.predictor.predict_columns(columns, text=text)

    def quick(self, columns: Mapping[str, Sequence[Any]], *, text: bool = False) -> Prediction | None:
        """The same by the fast lane alone; None where the other path is to decide."""
        return self.lane.predict_columns(columns, text=text) if self.lane else None

    def _load(self) -> tuple[LoadedModel, Predictor]:
        with self._lock:
            if self._loaded is None:
                from modelimg_runtime.model import load_model

                loaded = load_model(self.package.folder)
                self._loaded = loaded, loaded.predictor()
            return self._loaded


def open_served(folder: Path, *, fast_path: bool) -> ServedModel:
    """A package's model, every digest checked.

    Args:
        folder: the package.
        fast_path: whether the fast lane may be used.

    Raises:
        StartRefused: as `model.load_model`.
    """
    package = open_package(folder)
    package.verify()
    try:
        lane = open_lane(package) if fast_path else None
    except NoFastLane as error:
        log.info("scikit-learn predicts, and pandera validates each request: %s", error)
        lane = None
    return ServedModel(package, lane)
