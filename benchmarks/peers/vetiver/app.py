"""The model behind vetiver's API; its prototype checks the types of named columns. Usage: uvicorn app:app."""

from __future__ import annotations

import json
import os
from pathlib import Path

import joblib
import pandas as pd
from vetiver import VetiverAPI, VetiverModel

rows = pd.DataFrame(json.loads(Path(os.environ["BENCH_ROWS"]).read_text()))
model = VetiverModel(joblib.load(os.environ["BENCH_MODEL"]), "bench", prototype_data=rows)
app = VetiverAPI(model, check_prototype=True).app
