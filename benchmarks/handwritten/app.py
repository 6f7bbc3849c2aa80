"""A scoring service as people write it: one file beside the model, with the packages that the model's image has too."""

from __future__ import annotations

import joblib
import pandas as pd
import pandera.pandas as pa
from pandera.errors import SchemaErrors
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

model = joblib.load("model.joblib")
schema = pa.DataFrameSchema({name: pa.Column(float) for name in model.feature_names_in_}, coerce=True, strict=True)


async def predict(request: Request) -> JSONResponse:
    """Validate the rows, all failures at once, and predict."""
    body = await request.json()
    try:
        rows = schema.validate(pd.DataFrame(body["rows"]), lazy=True)
    except SchemaErrors as error:
        return JSONResponse({"detail": error.message}, status_code=422)
    return JSONResponse({"predictions": model.predict(rows).tolist()})


app = Starlette(routes=[Route("/predict", predict, methods=["POST"])])
