"""The part of modelimg that runs in the image: load, validate, predict, serve, self-test."""

from __future__ import annotations

__version__ = "0.1.0"
