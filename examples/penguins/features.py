"""A transformer of the user's own: it has to travel with the model, since the pickle only names it."""

from __future__ import annotations

import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin


class BillShape(TransformerMixin, BaseEstimator):
    """Adds the ratio of the bill's length to its depth, which tells the species apart better than either."""

    def fit(self, X: pd.DataFrame, y: object = None) -> BillShape:
        self.feature_names_in_ = X.columns.to_numpy()
        return self

    def transform(self, X: pd.DataFrame) -> pd.DataFrame:
        return X.assign(bill_ratio=X["bill_length_mm"] / X["bill_depth_mm"])

    def get_feature_names_out(self, input_features: object = None) -> list[str]:
        return [*self.feature_names_in_, "bill_ratio"]
