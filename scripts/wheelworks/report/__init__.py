"""The report, ``report.html``: what a folder's manifest says about a release, as one page that loads nothing else.

Text of a manifest or a wheel is untrusted. ``model`` summarizes it, and the template in ``page`` escapes all of it.
"""
