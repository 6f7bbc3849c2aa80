"""Puts a model file into BentoML's store. Usage: python save.py MODEL, with BentoML's own Python."""

import sys

import bentoml
import joblib

bentoml.sklearn.save_model("bench", joblib.load(sys.argv[1]))
