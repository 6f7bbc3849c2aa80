"""Saves a model file as an MLflow model.

Usage: python save.py MODEL ROWS.json REQUIREMENTS FOLDER, with MLflow's own Python.
"""

import json
import sys
from pathlib import Path

import joblib
import mlflow.sklearn
import pandas as pd
from mlflow.models import infer_signature

model_file, rows_file, requirements, folder = sys.argv[1:]
model = joblib.load(model_file)
rows = pd.DataFrame(json.loads(Path(rows_file).read_text()))
mlflow.sklearn.save_model(
    model,
    folder,
    signature=infer_signature(rows, model.predict(rows)),
    pip_requirements=requirements,
    # The default, skops, refuses some estimators; this is the format that holds any model.
    serialization_format="cloudpickle",
)
