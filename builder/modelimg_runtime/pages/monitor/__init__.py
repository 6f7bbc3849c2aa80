"""``/monitor``: what is served beside what was packed, for people. `whole` puts the page together.

It needs no script, loads nothing, and says everything in words or tables that it shows in a chart.
"""
