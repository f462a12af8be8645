"""How fast the speedups are, against Tornado without them and against other libraries, in one run.

A suite is a module with ``TITLE``, ``BASE`` (the subject that the others are compared with) and
``measure(plan, say) -> list[Measurement]``. What it measures it measures alternately, in fresh processes where state
matters: only ratios within a run mean something on a machine that does other things too.
"""
