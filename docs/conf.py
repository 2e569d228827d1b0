"""How Sphinx builds these pages: `make docs`. Nothing is fetched, neither here nor by a reader's browser."""

import sys
from pathlib import Path

from fastfnn_kernels import __version__

sys.path.insert(0, str(Path(__file__).parent / "extensions"))

project = "fastfnn"
author = "the fastfnn maintainers"
copyright = author  # noqa: A001 - Sphinx's name for it
version = release = __version__

extensions = ["sphinx.ext.autodoc", "sphinx.ext.viewcode", "numpydoc", "docstrings", "mathml"]

# Single backticks in docstrings name arguments and files as well as objects: what can be linked is.
default_role = "py:obj"

# A misspelt role or a reference to a name that has gone is an error. Left out are the words of docstrings, which
# name types as one speaks of them ("ndarray, shape (n,)"), and other packages' names.
nitpicky = True
nitpick_ignore_regex = [(r"py:obj", r".*"), (r"py:.*", r"(?!fastfnn).*")]

smartquotes = False  # the quotes of "relu" are typed as they stand
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the sections of a docstring say more than the annotations
add_module_names = False
numpydoc_show_class_members = False
viewcode_line_numbers = True

html_theme = "pydata_sphinx_theme"
html_math_renderer = "mathml"
html_title = "fastfnn"
html_copy_source = False
html_theme_options = {
    "navbar_end": ["theme-switcher"],
    "secondary_sidebar_items": ["page-toc"],
    "show_toc_level": 2,
    "show_prev_next": True,
}
