"""Benchmarks: the speedups against Tornado without them and against other libraries, measured in one run.

A suite measures its subjects in turns, and in fresh processes where state matters. Compare figures of one run only: on
a machine that does other work too, only ratios within a run are reliable.
"""
