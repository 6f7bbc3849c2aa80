"""Predictions without scikit-learn: the packed model's own arithmetic in NumPy, exact or not used."""

from modelimg_runtime.fast.errors import NotAnswered, NotSpecialised
from modelimg_runtime.fast.model import FastModel, specialise
from modelimg_runtime.fast.parts import Part, parts_of, read_parts

__all__ = ["FastModel", "NotAnswered", "NotSpecialised", "Part", "parts_of", "read_parts", "specialise"]
