"""The contract by hand: physical bounds and the three islands, not the minima and maxima of the training data."""

from __future__ import annotations

import pandera.pandas as pa
from pandera.typing.pandas import Series


class Input(pa.DataFrameModel):
    """One penguin. A measurement or the sex may be missing."""

    island: Series[str] = pa.Field(isin=["Biscoe", "Dream", "Torgersen"])
    bill_length_mm: Series[float] = pa.Field(ge=1, lt=100, nullable=True)
    bill_depth_mm: Series[float] = pa.Field(ge=1, lt=50, nullable=True)
    flipper_length_mm: Series[float] = pa.Field(gt=0, lt=400, nullable=True)
    body_mass_g: Series[float] = pa.Field(gt=0, lt=20_000, nullable=True)
    sex: Series[str] = pa.Field(isin=["female", "male"], nullable=True)

    class Config:
        """No other columns."""

        strict = True
