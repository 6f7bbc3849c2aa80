"""scikit-learn behind the compiled contract, for models that have no fast form.

The compiled test takes microseconds where pandera takes milliseconds, and what it does not accept goes to the path that
decides all the same. The frame is made as that path makes it, and scikit-learn is asked as that path asks it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from modelimg_runtime.accept.rules import NotCompiled, rules_of
from modelimg_runtime.columns import Answer, Batch
from modelimg_runtime.errors import OutputRejected
from modelimg_runtime.fast import NotAnswered
from modelimg_runtime.frames import FrameReader
from modelimg_runtime.lane import FastLane, NoFastLane, packed_schemas
from modelimg_runtime.predict import answer_of

if TYPE_CHECKING:
    from modelimg_runtime.model import LoadedModel


class Reference:
    """A fitted estimator that is asked about accepted rows. Threads may share one.

    Args:
        estimator: the fitted estimator.
        classes: the classifier's classes, in the order of its probabilities.
        reader: of the input schema.
        rows_apart: whether no answer is expected to depend on the rows beside it.

    Attributes:
        rows_apart: as given.
    """

    def __init__(self, estimator: Any, classes: Sequence[Any], reader: FrameReader, *, rows_apart: bool) -> None:
        self._estimator, self._classes, self._reader = estimator, tuple(classes), reader
        self.rows_apart = rows_apart

    def answer(self, batch: Batch) -> Answer:
        """What scikit-learn says of these rows as one batch.

        Raises:
            NotAnswered: its answer has another shape than it should.
        """
        frame = self._reader.frame_of_cells(dict(zip(batch.names, batch.columns, strict=True)))
        try:
            return answer_of(self._estimator, frame, self._classes)
        except OutputRejected as error:
            raise NotAnswered(str(error)) from error


_PRODUCTS = tuple(
    f"sklearn.{name}"
    for name in (
        *("linear_model", "neural_network", "decomposition", "discriminant_analysis", "cross_decomposition"),
        *("gaussian_process", "kernel_ridge", "kernel_approximation", "random_projection"),
        *("svm._classes LinearSVC", "svm._classes LinearSVR"),
    )
)
"""What multiplies matrices through BLAS, where equal bits of some batches promise nothing for the next one."""


def reference_lane(loaded: LoadedModel) -> FastLane:
    """The lane of a model that is loaded.

    Raises:
        NoFastLane: a schema is code, or of a kind that is not compiled.
    """
    schemas = packed_schemas(loaded.package)
    classes, names = loaded.manifest.classes, loaded.manifest.model.globals
    apart = not any(name.startswith(_PRODUCTS) for name in names)
    try:
        rules, answer_rules = (rules_of(json.loads(schemas[side])) for side in ("input", "output"))
        model = Reference(loaded.estimator, classes, FrameReader(loaded.input_schema), rows_apart=apart)
        return FastLane(model, rules, answer_rules, classes)
    except NotCompiled as error:
        raise NoFastLane(str(error)) from error
