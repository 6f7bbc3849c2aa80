"""A scoring service as people write it with FastAPI and pandera: all failures at once, types coerced.

Usage: uvicorn app:app, with the environment naming the model and its contract.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import joblib
import pandas as pd
import pandera.pandas as pa
from fastapi import FastAPI, HTTPException
from pandera.errors import SchemaErrors
from pydantic import BaseModel

model = joblib.load(os.environ["BENCH_MODEL"])
columns = json.loads(Path(os.environ["BENCH_CONTRACT"]).read_text())


def _column(column: dict[str, Any]) -> pa.Column:
    if column["kind"] == "str":
        return pa.Column(str, pa.Check.isin(column["allowed"]))
    return pa.Column({"float": float, "int": int}[column["kind"]], pa.Check.in_range(column["low"], column["high"]))


schema = pa.DataFrameSchema({column["name"]: _column(column) for column in columns}, coerce=True, strict=True)


class Request(BaseModel):
    """Rows of named values."""

    rows: list[dict[str, Any]]


class Answer(BaseModel):
    """One prediction for each row."""

    predictions: list[int]


app = FastAPI()


@app.post("/predict")
async def predict(request: Request) -> Answer:
    """Validate and predict."""
    try:
        frame = schema.validate(pd.DataFrame(request.rows), lazy=True)
    except SchemaErrors as error:
        raise HTTPException(status_code=422, detail=error.message) from error
    return Answer(predictions=model.predict(frame).tolist())
