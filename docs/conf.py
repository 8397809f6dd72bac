"""Configuration of the documentation: sphinx-build docs docs/_build/html."""

from importlib.metadata import version as version_of

project = "skcnn"
author = "the skcnn developers"
copyright = "2026, the skcnn developers"
release = version_of("skcnn")
version = ".".join(release.split(".")[:2])

extensions = [
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx_gallery.gen_gallery",
]
templates_path = ["_templates"]
exclude_patterns = ["_build", "_templates"]

html_theme = "pydata_sphinx_theme"
html_theme_options = {"show_prev_next": False}
html_sidebars = {"user_guide": []}  # which has its contents on the other side

# The class template lists the members, with their docstrings.
numpydoc_show_class_members = False

# Without a network the inventories are missing and their links stay plain text.
intersphinx_timeout = 5
intersphinx_mapping = {
    "python": ("https://docs.python.org/3", None),
    "numpy": ("https://numpy.org/doc/stable", None),
    "sklearn": ("https://scikit-learn.org/stable", None),
    "skorch": ("https://skorch.readthedocs.io/en/stable", None),
    "torch": ("https://docs.pytorch.org/docs/stable", None),
}

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "backreferences_dir": "generated/backreferences",
    "doc_module": ("skcnn",),
    "show_memory": False,
}
