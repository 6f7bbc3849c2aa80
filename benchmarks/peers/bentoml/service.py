"""The model as a BentoML service, as its documentation has it: model from the store, requirements from a file."""

from __future__ import annotations

import os

import bentoml
import pandas as pd

_IMAGE = bentoml.images.Image(base_image=os.environ.get("BENCH_BASE", "python:3.11-slim"), python_version="3.11")


@bentoml.service(name="bench", image=_IMAGE.requirements_file("requirements.txt"))
class Bench:
    """Predicts from rows of named columns."""

    stored = bentoml.models.BentoModel("bench:latest")

    def __init__(self) -> None:
        self.model = bentoml.sklearn.load_model(self.stored)

    @bentoml.api
    def predict(self, rows: list[dict[str, float]]) -> list[str]:
        """One label for each row."""
        return [str(label) for label in self.model.predict(pd.DataFrame(rows))]
