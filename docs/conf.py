"""Sphinx's settings; the pages of the reference are written anew by each build."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "scripts")]

from docs import generated  # noqa: E402

generated.write(HERE / "reference")

project = "wheelworks"
author = "the authors of tornado-speedups"
extensions = ["myst_parser"]
exclude_patterns = ["_build"]
myst_heading_anchors = 3
myst_links_external_new_tab = False
html_theme = "furo"
html_title = "wheelworks"
html_show_copyright = False
html_show_sphinx = False
nitpicky = True
