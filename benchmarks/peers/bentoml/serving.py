"""The model as a BentoML service that takes a frame of named columns: model from the store."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated

import bentoml
import pandas as pd
from bentoml.validators import DataframeSchema

_COLUMNS = tuple(column["name"] for column in json.loads(Path(os.environ["BENCH_CONTRACT"]).read_text()))


@bentoml.service(name="bench", workers=1, logging={"access": {"enabled": False}})
class Bench:
    """Predicts from rows of named columns."""

    stored = bentoml.models.BentoModel("bench:latest")

    def __init__(self) -> None:
        self.model = bentoml.sklearn.load_model(self.stored)

    @bentoml.api
    def predict(self, rows: Annotated[pd.DataFrame, DataframeSchema(orient="records", columns=_COLUMNS)]) -> list[int]:
        """One prediction for each row."""
        return self.model.predict(rows).tolist()
