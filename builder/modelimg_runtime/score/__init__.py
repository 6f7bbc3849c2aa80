"""Batch scoring: a file to a file in bounded memory, or a frame to a frame.

``command`` is ``score IN OUT``; ``run`` leads from a source of rows to a sink of predictions and a side file of what
was rejected; ``split`` keeps bad rows from spoiling the good ones; ``frame`` is behind ``modelimg_runtime.batch``.
"""
