"""The two ways in which the fast path steps aside."""

from __future__ import annotations


class NotSpecialised(Exception):  # noqa: N818 - it says what happened
    """A model that has no fast form; the sentence names the estimator or parameter in the way."""


class NotAnswered(Exception):  # noqa: N818 - it says what happened
    """A batch that scikit-learn refuses or treats in a way of its own: it is for scikit-learn to say."""
