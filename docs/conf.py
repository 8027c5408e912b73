"""How Sphinx builds the documentation."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from voyage_logger import __version__

if TYPE_CHECKING:
    from sphinx.application import Sphinx

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


def setup(app: Sphinx) -> None:
    """Lets docstrings have a letter right after a name in backticks, as in `log_id`s."""

    def escape(
        _app: Sphinx, _what: str, _name: str, _obj: object, _opts: object, lines: list[str]
    ) -> None:
        lines[:] = [re.sub(r"(`[^`]+`)(?=\w)", r"\1\\ ", line) for line in lines]

    app.connect("autodoc-process-docstring", escape)
