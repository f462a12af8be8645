"""Record the extension modules that a child process of a test command loads (`extensions`).

Python imports this file when it starts, because its folder is on PYTHONPATH. It hides other files of that name, so that
it runs the next one itself.
"""

from __future__ import annotations

import atexit
import os
import runpy
import sys
from contextlib import suppress

with suppress(ImportError, KeyError):  # a Python that doesn't see the workers
    from wheelworks_workers import extensions  # type: ignore[import-not-found]

    results = os.environ[extensions.RESULTS_VARIABLE]
    packages = os.environ[extensions.PACKAGES_VARIABLE].split(",")
    extensions.record_extensions(results)
    atexit.register(extensions.record_packages, results, packages)

# The sitecustomize.py of the site-packages folder, which this one hides: the next one on the path.
own = os.path.dirname(os.path.abspath(__file__))
others = [os.path.join(folder, "sitecustomize.py") for folder in sys.path if os.path.abspath(folder) != own]
for path in filter(os.path.isfile, others):
    runpy.run_path(path, run_name="sitecustomize")
    break
