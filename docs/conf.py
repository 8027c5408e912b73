"""How Sphinx builds the documentation."""

from __future__ import annotations

from voyage_logger import __version__

project = "voyage-logger"
author = "the voyage-logger authors"
copyright = "2026, the voyage-logger authors"  # noqa: A001 - Sphinx's name for it
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_enable_extensions = ["colon_fence", "deflist"]
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = "voyage-logger"

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
nitpicky = True
nitpick_ignore_regex = [("py:.*", r".*")]  # other projects' names are not linked
