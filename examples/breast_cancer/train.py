"""Train a classifier on scikit-learn's breast-cancer data and pack it: 30 measurements, one diagnosis.

Usage: python train.py [OUT]
"""

from __future__ import annotations

import sys
from pathlib import Path

from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import modelimg


def main(out: Path) -> None:
    data = load_breast_cancer(as_frame=True)
    y = data.target.map(dict(enumerate(data.target_names))).rename("diagnosis")
    X_train, X_test, y_train, y_test = train_test_split(data.data, y, test_size=0.25, random_state=0, stratify=y)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    model.fit(X_train, y_train)
    package = modelimg.pack(
        model,
        out,
        name="breast-cancer",
        version="1.0.0",
        train=(X_train, y_train),
        test=(X_test, y_test),
        metadata={"description": "Benign or malignant, from 30 measurements of a cell", "licenses": "Apache-2.0"},
    )
    print(package.path)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "dist/breast-cancer"))
