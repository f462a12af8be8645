"""Record the extension modules that a child process of a test command loads (`extensions`).

Python imports this file when it starts, because its folder is on PYTHONPATH.
"""

from __future__ import annotations

import atexit
import os
from contextlib import suppress

with suppress(ImportError, KeyError):  # a Python that doesn't see the workers
    from wheelworks_workers import extensions  # type: ignore[import-not-found]

    results = os.environ[extensions.RESULTS_VARIABLE]
    packages = os.environ[extensions.PACKAGES_VARIABLE].split(",")
    extensions.record_extensions(results)
    atexit.register(extensions.record_packages, results, packages)
