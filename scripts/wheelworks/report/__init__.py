"""Manifest -> ``report.html``: a release at a glance, in one page that asks nobody for anything.

What a manifest or a wheel says is untrusted here: ``reading`` takes what is of the expected shape, ``html`` escapes it.
"""
