"""A scoring service as people write it with FastAPI and pydantic: types, ranges and words of every column are checked.

Usage: uvicorn app:app, with the environment naming the model and its contract.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Literal

import joblib
import pandas as pd
from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field, create_model

model = joblib.load(os.environ["BENCH_MODEL"])
columns = json.loads(Path(os.environ["BENCH_CONTRACT"]).read_text())


def _field(column: dict[str, Any]) -> Any:
    """Type and limits of one column, under its own name: some have spaces."""
    if column["kind"] == "str":
        return Literal[tuple(column["allowed"])], Field(alias=column["name"])
    number = {"float": float, "int": int}[column["kind"]]
    return number, Field(alias=column["name"], ge=column["low"], le=column["high"], allow_inf_nan=False)


fields = {column["name"].replace(" ", "_"): _field(column) for column in columns}
Row = create_model("Row", __config__=ConfigDict(extra="forbid"), **fields)


class Request(BaseModel):
    """Rows of named values."""

    rows: list[Row]  # type: ignore[valid-type]


class Answer(BaseModel):
    """One prediction for each row."""

    predictions: list[int]


Request.model_rebuild()
app = FastAPI()


@app.post("/predict")
async def predict(request: Request) -> Answer:
    """Predict; what breaks the contract was refused before."""
    frame = pd.DataFrame([row.model_dump(by_alias=True) for row in request.rows])
    return Answer(predictions=model.predict(frame).tolist())
