"""The part of modelimg that runs in the image: load, validate, predict, serve, self-test."""
