"""The part of modelimg that runs in the image: load, validate, predict, serve, score, self-test."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

__version__ = "0.1.0"


def batch(
    frame: pd.DataFrame,
    *,
    package: str | PathLike[str] | None = None,
    probabilities: bool = False,
    keep: Sequence[str] = (),
    errors: str = "raise",
) -> pd.DataFrame:
    """Predict the rows of a frame, between the model's two contracts.

    One function for every engine that calls a function on pieces of a table::

        dataset.map_batches(modelimg_runtime.batch, batch_format="pandas")                        # Ray Data
        frame.mapInPandas(lambda frames: map(modelimg_runtime.batch, frames), "prediction long")  # Spark
        frame.map_partitions(modelimg_runtime.batch, meta=modelimg_runtime.batch(frame.head(0)))  # Dask

    The model is loaded once in a process and again when its package is another one; threads share it. An empty frame
    gives an empty one, with the columns and dtypes of every other.

    Args:
        frame: shape (n_rows, n_columns), the model's columns in any order and those to keep, and no others. Values are
            taken for what they are, as the server takes those of a request.
        package: folder of the model package; by default what ``MODELIMG_MODEL_DIR`` names, else ``/modelimg/model``.
        probabilities: add ``probability_<class>`` columns.
        keep: columns to copy, before the predictions.
        errors: ``raise`` refuses the frame for one bad row; ``column`` leaves its prediction empty, and says why in a
            further column ``error``, which is empty where all is well. Whole numbers are then ``Int64``, bools
            ``boolean``.

    Returns:
        Shape (n_rows, …), with the frame's index: ``prediction``, or ``prediction_0``, … of a model with many outputs.

    Raises:
        InputRejected: rows break the input contract, or columns do; the message names the first places.
        OutputRejected: the answer would break the output contract.
        ScoreFault: probabilities of a model without any, or a column to keep that is called as one of the answer.
        StartRefused: the package may not be used.
    """
    from pathlib import Path

    from modelimg_runtime.score.frame import score_frame

    folder = None if package is None else Path(package)
    return score_frame(frame, folder, keep, probabilities=probabilities, errors=errors)
