"""Train a forest on the Palmer penguins: strings, numbers, missing values and a transformer in a module of its own.

It writes the fitted pipeline and the two splits; `modelimg pack -f modelimg.toml` does the rest from the command line.
Data: Horst, Hill and Gorman (2020), palmerpenguins, CC0. Usage: python train.py [OUT]
"""

from __future__ import annotations

import sys
from pathlib import Path

import joblib
import pandas as pd
from features import BillShape
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

HERE = Path(__file__).parent
NUMBERS = ["bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g", "bill_ratio"]
CATEGORIES = ["island", "sex"]


def main(out: Path) -> None:
    data = pd.read_csv(HERE / "penguins.csv").drop(columns="year")
    train, test = train_test_split(data, test_size=0.3, random_state=0, stratify=data["species"])
    columns = make_column_transformer(
        (SimpleImputer(strategy="median"), NUMBERS),
        (make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore")), CATEGORIES),
    )
    model = make_pipeline(BillShape(), columns, RandomForestClassifier(n_estimators=100, random_state=0))
    model.fit(train.drop(columns="species"), train["species"])
    out.mkdir(parents=True, exist_ok=True)
    joblib.dump(model, out / "model.joblib")
    train.to_csv(out / "train.csv", index=False)
    test.to_csv(out / "test.csv", index=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "dist")
